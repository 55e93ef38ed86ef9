"""Text that a model writes itself, to be calibrated on: of the kind that the model is used for, and always there.

After Williams and Aletras 2024 ("Self-calibration for language model quantization and pruning"): plain sampling at
temperature 1. Half of the windows of a model with a chat template begin where a user would speak, and go on with what
the model puts there and answers (Xu et al. 2024, "Magpie"); the others go on with a few tokens of the built-in text.
Every window is drawn from its own seed, so they are the same whatever else runs beside them.
"""

from __future__ import annotations

from collections.abc import Sequence

from honed.backends.open import open_backend
from honed.backends.options import RunOptions
from honed.checkpoints.base import Checkpoint
from honed.errors import TemplateError
from honed.runtime.engine import Engine
from honed.runtime.request import Request, Sampling
from honed.text.calibration import CALIBRATION_TEXT
from honed.text.chat_template import ChatTemplate
from honed.text.tokenizer import Tokenizer

TOGETHER = 32
"""Windows that are written at a time."""
BEGINNING = 8
"""Tokens of the built-in text that a window goes on with."""
_LETTER = "x"


def sample_windows(
    checkpoint: Checkpoint, *, length: int, count: int, seed: int, threads: int | None
) -> list[list[int]]:
    """`count` windows of `length` tokens. The ends of texts are tokens like others: a window may hold several texts.

    Errors: those of opening and running the model; MachineError where it does not fit in memory.
    """
    tokenizer = checkpoint.tokenizer()
    openings = _openings(tokenizer, count, length)
    backend = open_backend(checkpoint, RunOptions(context=length, sequences=min(TOGETHER, count), threads=threads))
    engine = Engine(backend, max_sequences=TOGETHER)
    requests = [
        Request(tuple(opening), length - len(opening), Sampling(temperature=1.0, seed=(seed << 32) + number))
        for number, opening in enumerate(openings)
    ]
    outputs = engine.generate(requests)
    return [[*opening, *output.tokens] for opening, output in zip(openings, outputs, strict=True)]


def _openings(tokenizer: Tokenizer, count: int, length: int) -> list[Sequence[int]]:
    ids = tokenizer.encode(CALIBRATION_TEXT, add_special=False)
    taken = min(BEGINNING, length // 2)
    turn = _before_a_user_speaks(tokenizer)
    chats = count // 2 if 0 < len(turn) < length else 0
    plain = count - chats
    first = [number * (len(ids) - taken) // max(plain, 1) for number in range(plain)]
    return [turn] * chats + [ids[at : at + taken] for at in first]


def _before_a_user_speaks(tokenizer: Tokenizer) -> Sequence[int]:
    """What a chat begins with; nothing for a model without a template, or with one that takes no such turn."""
    if tokenizer.chat_template is None:
        return []
    try:
        with ChatTemplate(tokenizer.chat_template, tokenizer.special_tokens) as template:
            text = template.render([{"role": "user", "content": _LETTER}], continue_final=True)
    except TemplateError:
        return []
    return tokenizer.encode(text.removesuffix(_LETTER), add_special=False)
