"""Dialogues as tokens, and which of them are the assistant's: what a model that generates is trained on.

A turn of the assistant is all that the chat template writes of it behind what it writes to ask for it, so its end is
learned too. What users write is as the template has it: control tokens that are spelled there are control tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from honed.api.labelled import read_dialogues
from honed.api.train_encoder import Prepared, Started, Told, check_weights
from honed.api.train_options import TrainOptions
from honed.checkpoints.base import Checkpoint
from honed.compress.training.examples import Example
from honed.compress.weights import SourceWeights
from honed.errors import FormatError, ParameterError, TemplateError, UnsupportedError
from honed.models.registry import is_encoder, read_any
from honed.notes import note
from honed.text.chat_template import ChatTemplate, require_template
from honed.text.tokenizer import Tokenizer, encoded

if TYPE_CHECKING:
    from honed.compress.training.fit import Fitted
    from honed.compress.training.settings import FittingSettings

ASSISTANT = "assistant"
LONGEST = 1024
"""Tokens of a dialogue, where neither model nor caller says less."""


def prepare_dialogues(checkpoint: Checkpoint, files: tuple[Path, Path], options: TrainOptions) -> Prepared:
    """files: to learn, and to judge by. Errors: those of `honed.train`."""
    from honed.compress.training.fit import fit_dialogues

    if is_encoder(checkpoint.config):
        raise UnsupportedError(f"{checkpoint.path}: is an encoder; text-generation takes a model that generates")
    config = {name: value for name, value in checkpoint.config.items() if name != "quantization_config"}
    model = read_any(config, checkpoint.path)
    limit = min(model.dimensions.context, options.max_tokens or LONGEST)
    tokenizer = checkpoint.tokenizer()
    examples, held_out = (
        dialogue_examples(path, read_dialogues(path, messages=options.text), tokenizer, limit) for path in files
    )
    weights = SourceWeights(model, checkpoint.weight, head_apart=False)
    check_weights(checkpoint, model, weights)
    source = Started(model, weights)

    def run(settings: FittingSettings, folder: Path, count: int, told: Told | None) -> Fitted:
        return fit_dialogues(source, examples, held_out, settings, folder=folder, threads=count, told=told)

    return Prepared(config, (), len(examples), len(held_out), run)


def dialogue_examples(
    path: Path, dialogues: Sequence[Sequence[Mapping[str, Any]]], tokenizer: Tokenizer, limit: int
) -> list[Example]:
    """An example a dialogue, cut at `limit` tokens; those that have nothing of the assistant by then are left out, and
    a note says how many.

    Errors: TemplateError for a model without a chat template; FormatError naming the row that the template refuses, or
    writes otherwise as a part of the whole; ParameterError where nothing is left.
    """
    found, cut = [], 0
    with ChatTemplate(require_template(tokenizer.chat_template), tokenizer.special_tokens) as template:
        for number, messages in enumerate(dialogues, 1):
            try:
                text, spans = assistant_spans(template, messages)
            except (ParameterError, TemplateError) as error:
                raise FormatError(path, f"row {number}", f"its messages are refused: {error}") from error
            tokens = encoded(tokenizer.fast, text)
            own = [
                place
                for place, (begin, end) in enumerate(tokens.offsets[:limit])
                if place and any(first <= begin < end <= last for first, last in spans)
            ]
            cut += len(tokens.ids) > limit
            if own:
                ids = np.array(tokens.ids[:limit], np.int32)
                places = np.array(own, np.int32)
                found.append(Example(ids, np.zeros_like(ids), places, ids[places].astype(np.int64)))
    if cut:
        note(f"{path}: {cut} of {len(dialogues)} dialogues are longer than {limit} tokens and are cut there")
    if not found:
        raise ParameterError("data", str(path), f"has no turn of the assistant in its first {limit} tokens")
    if len(found) < len(dialogues):
        note(f"{path}: {len(dialogues) - len(found)} dialogues have no turn of the assistant so far, and are left out")
    return found


def assistant_spans(
    template: ChatTemplate, messages: Sequence[Mapping[str, Any]]
) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The text of a dialogue, and where in it the turns of the assistant begin and end, in characters.

    TemplateError where the template writes the beginning of a dialogue otherwise than as that of the whole.
    """
    whole = template.render(messages, add_generation_prompt=False)
    spans = []
    for place, message in enumerate(messages):
        if message.get("role") != ASSISTANT or not place:
            continue
        before = template.render(messages[:place], add_generation_prompt=True)
        until = template.render(messages[: place + 1], add_generation_prompt=False)
        if not whole.startswith(until) or not until.startswith(before):
            raise TemplateError(
                f"chat template: it writes turn {place + 1} otherwise when others follow, so what the assistant says "
                "there is not told from the rest; split the dialogue into ones that end with that turn"
            )
        spans.append((len(before), len(until)))
    return whole, tuple(spans)
