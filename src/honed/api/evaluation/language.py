"""Documents predicted token by token, by a model and its reference side by side.

A document is read in pieces of as many tokens as the task says, each from an empty cache. Not here: the scores of
tokens (`evaluate/compare.py`), and a certificate of a single text (`api/evaluate.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from honed.api.language_model import LanguageModel
from honed.errors import HonedError, UnsupportedError
from honed.evaluate.compare import compare
from honed.evaluate.examples import Example
from honed.evaluate.likelihood import likelihood, room
from honed.evaluate.metrics.language import Predicted
from honed.evaluate.windows import WINDOW_TOKENS, Window

Report = Callable[[int, int], None]
"""Called with examples done and examples in all."""


def predict_documents(
    model: LanguageModel, reference: LanguageModel | None, examples: Sequence[Example], report: Report
) -> tuple[list[Predicted], list[Predicted] | None]:
    """Scores of each document by the model, and by the reference.

    Errors: UnsupportedError where the tokenizers differ; HonedError for a document of fewer than two tokens.
    """
    ours, theirs = [], []
    for number, example in enumerate(examples, 1):
        found, other = predict_document(model, reference, example)
        ours.append(found)
        theirs.append(other)
        report(number, len(examples))
    return ours, None if reference is None else [other for other in theirs if other is not None]


def predict_document(
    model: LanguageModel, reference: LanguageModel | None, example: Example
) -> tuple[Predicted, Predicted | None]:
    """The same of one document."""
    text, row = example.inputs["text"], example.row
    ids = model.tokenizer.encode(text, add_special=False)
    if reference is not None and reference.tokenizer.encode(text, add_special=False) != ids:
        raise UnsupportedError(
            f"the tokenizers of {model.name} and {reference.name} cut row {row} into different tokens; they can only "
            "be compared token by token"
        )
    begin = model.tokenizer.begin_token if model.tokenizer.adds_begin_token else None
    seen = [] if begin is not None else list(ids[:1])
    size = len(text.encode()) - len(model.tokenizer.decode(seen).encode())
    targets = list(ids[len(seen) :])
    if not targets:
        raise HonedError(f"row {row}: is a text of {len(ids)} tokens, of which none is predicted; leave it out")
    backends = [model.backend] if reference is None else [model.backend, reference.backend]
    width = min(WINDOW_TOKENS, *(room(backend) for backend in backends))
    loss = other_loss = divergence = 0.0
    agreement = 0
    before = begin if begin is not None else ids[0]
    for first in range(0, len(targets), width):
        part = targets[first : first + width]
        # With a begin token every piece starts with it, as windows of a certificate do.
        start = before if begin is not None or first == 0 else targets[first - 1]
        if reference is None:
            loss -= likelihood(model.backend, [start], part).logprob
            continue
        window = Window(first, np.array([start, *part[:-1]], dtype=np.int32), np.array(part, dtype=np.int32))
        scores = compare(model.backend, reference.backend, [window])
        loss += float(scores.candidate_loss.sum())
        other_loss += float(scores.reference_loss.sum())
        divergence += float(scores.divergence.sum())
        agreement += int(scores.agreement.sum())
    count = len(targets)
    found = Predicted(loss, count, size, divergence, agreement)
    return found, None if reference is None else Predicted(other_loss, count, size, 0.0, count)
