"""What a model is calibrated on: windows of tokens from the built-in text, and from turns of a chat where it has a
template.

Not here: the text and the turns (`text/calibration.py`), and what is done with the windows (`compress/observe.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from honed.checkpoints.base import Checkpoint
from honed.errors import TemplateError
from honed.models.base import Model
from honed.text.calibration import CALIBRATION_TEXT, CALIBRATION_TURNS
from honed.text.chat_template import ChatTemplate
from honed.text.tokenizer import Tokenizer

WINDOW = 128
"""Tokens of a calibration window."""
TOKENS = 1024
"""Tokens at most: what the text is with the vocabulary of a trained model. With one of little more than bytes it is
several times as many, which would take as many times as long and show no more of the text."""

Windows = list[list[int]]


def calibration_windows(checkpoint: Checkpoint, model: Model) -> Windows:
    """Windows of one length, what is left over at the end of text or turns cut off. Where they are too many, so many
    of them that lie evenly over each; turns are half of them at most."""
    tokenizer = checkpoint.tokenizer()
    ids = tokenizer.encode(CALIBRATION_TEXT, add_special=False)
    length = min(WINDOW, model.dimensions.context, len(ids))
    most = max(TOKENS // length, 1)
    turns = _evenly(_cut(_turns(tokenizer), length), most // 2)
    return turns + _evenly(_cut(ids, length), most - len(turns))


def calibration_record(windows: Windows) -> dict[str, Any] | None:
    """For the manifest: what was calibrated on, None where nothing was."""
    if not windows:
        return None
    digest = hashlib.sha256(f"{CALIBRATION_TEXT}{CALIBRATION_TURNS}".encode()).hexdigest()
    return {"text": "built-in", "sha256": digest, "windows": len(windows), "window_tokens": len(windows[0])}


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
