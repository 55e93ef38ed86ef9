"""What a model is calibrated on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from chatty_model import with_template
from honed.api import calibration
from honed.api.calibration import calibration_record, calibration_windows
from honed.checkpoints.open import open_checkpoint
from honed.models.registry import read_model
from honed.text.calibration import CALIBRATION_TEXT, CALIBRATION_TURNS

ROOM = cast("Any", SimpleNamespace(dimensions=SimpleNamespace(context=4096)))


def checkpoint(template: str | None = None) -> Any:
    """One token a character, which is the character's position."""
    tokenizer = SimpleNamespace(
        encode=lambda text, add_special: list(range(len(text))), chat_template=template, special_tokens={}
    )
    return SimpleNamespace(tokenizer=lambda: tokenizer)


@pytest.mark.parametrize(("characters", "kept"), [(1030, range(8)), (1300, [0, 1, 2, 3, 5, 6, 7, 8])])
def test_windows_lie_evenly_over_a_text_of_many_tokens(
    monkeypatch: pytest.MonkeyPatch, characters: int, kept: Sequence[int]
) -> None:
    # 8 windows of 128 in 1,030 tokens, 10 in 1,300.
    monkeypatch.setattr(calibration, "CALIBRATION_TEXT", "x" * characters)
    windows = calibration_windows(checkpoint(), ROOM)
    assert windows == [list(range(128 * number, 128 * (number + 1))) for number in kept]


def test_a_chat_model_is_calibrated_on_turns_in_its_own_template(tiny_llama: Path, tmp_path: Path) -> None:
    opened = open_checkpoint(str(with_template(tiny_llama, tmp_path / "model")))
    decoder = read_model(opened.config, opened.path)
    windows = calibration_windows(opened, decoder)
    tokenizer = opened.tokenizer()
    spelled = " ".join(f"user {asked} assistant {said}" for asked, said in CALIBRATION_TURNS) + " "
    turns = tokenizer.encode(spelled, add_special=False)
    text = tokenizer.encode(CALIBRATION_TEXT, add_special=False)
    length = len(windows[0])
    assert {len(window) for window in windows} == {length}
    of_turns = [window for window in windows if window == turns[: len(window)]]
    assert len(of_turns) == 1
    assert windows[-1] in [text[first : first + length] for first in range(0, len(text), length)]
    assert sum(map(len, windows)) <= calibration.TOKENS


def test_a_template_that_takes_no_such_chat_leaves_the_text() -> None:
    refusing = "{{ raise_exception('only one turn') }}"
    assert calibration_windows(checkpoint(refusing), ROOM) == calibration_windows(checkpoint(), ROOM)


def test_what_was_calibrated_on_is_recorded() -> None:
    assert calibration_record([]) is None
    record = calibration_record([[1, 2], [3, 4]])
    assert record is not None
    assert (record["windows"], record["window_tokens"], len(record["sha256"])) == (2, 2, 64)
