"""Runs two models side by side over windows of text and scores every prediction.

Logits are scored as they come, a few rows at a time, and never kept: memory does not grow with the text. What the
scores mean is `evaluate/metrics/tokens.py`; what is made of them is `evaluate/certificate.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from honed.backends.base import PAGE_TOKENS, Backend, Batch
from honed.backends.cache_turns import take_turn
from honed.backends.capacity import ring_tables
from honed.errors import HonedError, ParameterError, UnsupportedError
from honed.evaluate.metrics.tokens import TokenScores, compare_logits
from honed.evaluate.windows import Window

STEP_ROWS = 64
"""Rows of logits held at a time, for each model."""

Progress = Callable[[int, int], None]
"""Called with tokens done and tokens in all."""


def compare(
    candidate: Backend,
    reference: Backend,
    windows: Sequence[Window],
    *,
    step_rows: int = STEP_ROWS,
    progress: Progress | None = None,
) -> TokenScores:
    """Scores of every prediction, arrays of [windows, window tokens].

    Each window starts from an empty cache on both backends. UnsupportedError where a backend has no room for a window
    or the vocabularies differ; HonedError where logits are not finite.
    """
    if not windows:
        raise ValueError("no windows to compare on")
    if candidate.vocabulary != reference.vocabulary:
        raise UnsupportedError(
            f"the candidate predicts {candidate.vocabulary} tokens and the reference {reference.vocabulary}; "
            "they can only be compared over one vocabulary"
        )
    width = len(windows[0].inputs)
    for role, backend in (("candidate", candidate), ("reference", reference)):
        _check_room(role, backend, width)
    step = min(step_rows, candidate.step_tokens, reference.step_tokens)
    shape = (len(windows), width)
    scores = TokenScores(np.empty(shape), np.empty(shape), np.empty(shape), np.empty(shape, dtype=np.bool_))
    for row, window in enumerate(windows):
        for begin in range(0, width, step):
            part = slice(begin, min(begin + step, width))
            if int(window.targets[part].max()) >= candidate.vocabulary:
                raise UnsupportedError(
                    f"the tokenizer gives token {int(window.targets[part].max())}, but the models predict only "
                    f"{candidate.vocabulary} tokens"
                )
            done = compare_logits(
                _logits("reference", reference, window, part),
                _logits("candidate", candidate, window, part),
                window.targets[part],
            )
            scores.candidate_loss[row, part] = done.candidate_loss
            scores.reference_loss[row, part] = done.reference_loss
            scores.divergence[row, part] = done.divergence
            scores.agreement[row, part] = done.agreement
            if progress is not None:
                progress(row * width + part.stop, len(windows) * width)
    return scores


def _check_room(role: str, backend: Backend, width: int) -> None:
    if width > backend.context:
        raise ParameterError("window_tokens", width, f"must be at most {backend.context}, the context of the {role}")
    pages = -(-width // PAGE_TOKENS)
    if pages > backend.pages:
        raise UnsupportedError(
            f"a window of {width} tokens needs {pages} pages of KV cache; the {role} was loaded with {backend.pages}"
        )


def _batch(backend: Backend, window: Window, part: slice) -> Batch:
    rows = part.stop - part.start
    return Batch(
        tokens=np.ascontiguousarray(window.inputs[part]),
        positions=np.arange(part.start, part.stop, dtype=np.int32),
        sequences=np.zeros(rows, dtype=np.int32),
        page_tables=ring_tables(backend.page_groups, len(window.inputs)),
        selected=np.arange(rows, dtype=np.int32),
    )


def _logits(role: str, backend: Backend, window: Window, part: slice) -> NDArray[np.float32]:
    batch = _batch(backend, window, part)
    take_turn(backend, batch)
    logits = backend.forward(batch)
    finite = np.isfinite(logits).all(axis=1)
    if not finite.all():
        position = window.start + part.start + int(np.argmin(finite))
        raise HonedError(
            f"the {role} gives logits that are not finite at token {position} of the text: "
            "its weights hold NaN or infinite values, or an activation overflowed"
        )
    return logits
