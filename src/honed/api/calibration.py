"""What a model is calibrated on: windows of tokens of one length, and what the manifest says of them.

Three sources: a short built-in text with turns of a chat, what the model itself writes (`calibration_sampling.py`), and
a file of the user's (`calibration_file.py`). Not here: the built-in text (`text/calibration.py`), and what is done with
the windows (`compress/observe.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from honed.api.calibration_file import read_documents
from honed.api.calibration_sampling import sample_windows
from honed.checkpoints.base import Checkpoint
from honed.compress.calibration_settings import BUILT_IN, SAMPLED, CalibrationSettings
from honed.errors import MachineError, ParameterError, TemplateError
from honed.models.base import Model
from honed.models.registry import is_encoder
from honed.notes import note
from honed.text.calibration import CALIBRATION_TEXT, CALIBRATION_TURNS
from honed.text.chat_template import ChatTemplate
from honed.text.tokenizer import Tokenizer

WINDOW, LONG_WINDOW = 128, 512
"""Tokens of a calibration window of the built-in text, and of others."""
TOKENS = 1024
"""Of the built-in text at most: what it is with the vocabulary of a trained model. With one of little more than bytes
it is several times as many, which would take as many times as long and show no more of the text."""
MANY_TOKENS = 65536

Windows = list[list[int]]


@dataclass(frozen=True)
class Calibration:
    """windows: of one length each. text: built-in, sampled, or the name of a file. seed: where one had a part in it."""

    windows: Windows
    text: str
    seed: int | None = None

    def record(self) -> dict[str, Any]:
        """For the manifest. The digest is of the tokens, which are what was seen."""
        tokens = np.asarray(self.windows, "<i4")
        found = {
            "text": self.text,
            "sha256": hashlib.sha256(tokens.tobytes()).hexdigest(),
            "windows": len(self.windows),
            "window_tokens": len(self.windows[0]),
        }
        return found if self.seed is None else {**found, "seed": self.seed}


def find_calibration(
    checkpoint: Checkpoint, model: Model, settings: CalibrationSettings, *, in_detail: bool, threads: int | None
) -> Calibration:
    """`in_detail`: passes ask for more than mean squares, so that a short text does not do where settings name none.

    Errors: ParameterError for a file without a window of text, those of `read_documents`, and whatever running the
    model raises.
    """
    text = settings.text
    if text is None:
        text = usual_text(checkpoint, in_detail=in_detail)
        if text == SAMPLED:
            return _sampled_if_it_fits(checkpoint, model, settings, threads)
    if text == BUILT_IN:
        return Calibration(built_in_windows(checkpoint, model, settings), BUILT_IN)
    if text == SAMPLED:
        if is_encoder(checkpoint.config):
            raise ParameterError("calibration.text", SAMPLED, "needs a model that generates; name a file, or built-in")
        return _sampled(checkpoint, model, settings, threads)
    return _of_file(Path(text), checkpoint, model, settings)


def usual_text(checkpoint: Checkpoint, *, in_detail: bool) -> str:
    """What is calibrated on where settings name nothing."""
    return SAMPLED if in_detail and not is_encoder(checkpoint.config) else BUILT_IN


def expected_tokens(settings: CalibrationSettings, usual: str) -> int:
    """How many tokens are calibrated on, at most. usual: the text where settings name none."""
    return settings.tokens or (TOKENS if (settings.text or usual) == BUILT_IN else MANY_TOKENS)


def built_in_windows(checkpoint: Checkpoint, model: Model, settings: CalibrationSettings) -> Windows:
    """Of the text and of turns, what is left over at the end of either cut off. Where they are too many, so many of
    them that lie evenly over each; turns are half of them at most."""
    tokenizer = checkpoint.tokenizer()
    ids = tokenizer.encode(CALIBRATION_TEXT, add_special=False)
    length = min(settings.window or WINDOW, model.dimensions.context, len(ids))
    most = max((settings.tokens or TOKENS) // length, 1)
    turns = _evenly(_cut(_turns(tokenizer), length), most // 2)
    return turns + _evenly(_cut(ids, length), most - len(turns))


def _sampled_if_it_fits(
    checkpoint: Checkpoint, model: Model, settings: CalibrationSettings, threads: int | None
) -> Calibration:
    try:
        return _sampled(checkpoint, model, settings, threads)
    except MachineError as error:
        note(f"calibration: the model cannot be run here to write its own text ({error}); the built-in text is taken")
        return Calibration(built_in_windows(checkpoint, model, settings), BUILT_IN)


def _sampled(checkpoint: Checkpoint, model: Model, settings: CalibrationSettings, threads: int | None) -> Calibration:
    length, count = _shape(model, settings)
    return Calibration(
        sample_windows(checkpoint, length=length, count=count, seed=settings.seed, threads=threads),
        SAMPLED,
        settings.seed,
    )


def _of_file(path: Path, checkpoint: Checkpoint, model: Model, settings: CalibrationSettings) -> Calibration:
    """Documents behind each other, cut into windows; so many as are asked for, drawn by the seed, in their order."""
    tokenizer = checkpoint.tokenizer()
    length, most = _shape(model, settings)
    windows: Windows = []
    rest: list[int] = []
    for ids in read_documents(path, tokenizer):
        rest += ids
        whole = len(rest) // length * length
        windows += _cut(rest[:whole], length)
        rest = rest[whole:]
    if not windows:
        raise ParameterError("calibration.text", path.name, f"has {len(rest)} tokens, and a window takes {length}")
    if len(windows) > most:
        kept = np.sort(np.random.default_rng(settings.seed).choice(len(windows), most, replace=False))
        windows = [windows[number] for number in kept]
    return Calibration(windows, path.name, settings.seed)


def _shape(model: Model, settings: CalibrationSettings) -> tuple[int, int]:
    """Tokens of a window, and windows at most."""
    length = min(settings.window or LONG_WINDOW, model.dimensions.context)
    return length, max((settings.tokens or MANY_TOKENS) // length, 1)


def _turns(tokenizer: Tokenizer) -> Sequence[int]:
    """The built-in turns, each a chat of its own as most are; none for a model without a template, or with one that
    does not take them."""
    if tokenizer.chat_template is None:
        return []
    ids: list[int] = []
    try:
        with ChatTemplate(tokenizer.chat_template, tokenizer.special_tokens) as template:
            for asked, said in CALIBRATION_TURNS:
                chat = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
                ids += tokenizer.encode(template.render(chat, add_generation_prompt=False), add_special=False)
    except TemplateError:
        return []
    return ids


def _cut(ids: Sequence[int], length: int) -> Windows:
    return [list(ids[first : first + length]) for first in range(0, len(ids) - length + 1, length)]


def _evenly(windows: Windows, most: int) -> Windows:
    kept = min(len(windows), most)
    return [windows[number * len(windows) // kept] for number in range(kept)]
