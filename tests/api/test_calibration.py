"""What a model is calibrated on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from chatty_model import with_template
from conftest import WORDS
from honed.api import calibration
from honed.api.calibration import Calibration, built_in_windows, find_calibration
from honed.checkpoints.open import open_checkpoint
from honed.compress.calibration_settings import CalibrationSettings
from honed.errors import MachineError, ParameterError
from honed.models.registry import read_any, read_model
from honed.notes import HonedWarning
from honed.text.calibration import CALIBRATION_TEXT, CALIBRATION_TURNS

SETTINGS = CalibrationSettings()
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
    windows = built_in_windows(checkpoint(), ROOM, SETTINGS)
    assert windows == [list(range(128 * number, 128 * (number + 1))) for number in kept]


def test_a_chat_model_is_calibrated_on_turns_in_its_own_template(tiny_llama: Path, tmp_path: Path) -> None:
    opened = open_checkpoint(str(with_template(tiny_llama, tmp_path / "model")))
    decoder = read_model(opened.config, opened.path)
    windows = built_in_windows(opened, decoder, SETTINGS)
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
    assert built_in_windows(checkpoint(refusing), ROOM, SETTINGS) == built_in_windows(checkpoint(), ROOM, SETTINGS)


def test_what_was_calibrated_on_is_recorded_by_its_tokens() -> None:
    record = Calibration([[1, 2], [3, 4]], "built-in").record()
    assert (record["windows"], record["window_tokens"], record["text"]) == (2, 2, "built-in")
    assert "seed" not in record
    other = Calibration([[1, 2], [3, 5]], "sampled", 7).record()
    assert other["sha256"] != record["sha256"]
    assert other["seed"] == 7
    assert Calibration([[1, 2], [3, 4]], "mine.txt", 3).record()["sha256"] == record["sha256"]


def test_settings_say_how_much_of_the_built_in_text(tiny_llama: Path) -> None:
    opened = open_checkpoint(str(tiny_llama))
    decoder = read_model(opened.config, opened.path)
    windows = built_in_windows(opened, decoder, CalibrationSettings(tokens=192, window=64))
    assert [len(window) for window in windows] == [64] * 3


def test_passes_that_need_more_learn_from_what_the_model_writes(tiny_llama: Path) -> None:
    opened = open_checkpoint(str(tiny_llama))
    decoder = read_model(opened.config, opened.path)
    settings = CalibrationSettings(tokens=256, window=32)
    short = find_calibration(opened, decoder, settings, in_detail=False, threads=1)
    assert short.text == "built-in"
    found = find_calibration(opened, decoder, settings, in_detail=True, threads=1)
    assert (found.text, found.seed, len(found.windows)) == ("sampled", 0, 8)
    again = find_calibration(opened, decoder, settings, in_detail=True, threads=2)
    assert again == found
    other = settings.model_copy(update={"seed": 1})
    assert find_calibration(opened, decoder, other, in_detail=True, threads=1).windows != found.windows


def test_a_model_that_does_not_fit_is_calibrated_on_the_built_in_text(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise MachineError("not enough memory")

    monkeypatch.setattr(calibration, "sample_windows", full)
    opened = open_checkpoint(str(tiny_llama))
    decoder = read_model(opened.config, opened.path)
    with pytest.warns(HonedWarning, match=r"cannot be run here.*not enough memory.*built-in text is taken"):
        found = find_calibration(opened, decoder, SETTINGS, in_detail=True, threads=1)
    assert found.text == "built-in"
    asked = CalibrationSettings(text="sampled")
    with pytest.raises(MachineError):
        find_calibration(opened, decoder, asked, in_detail=True, threads=1)


def test_an_encoder_writes_nothing(minilm: Path) -> None:
    opened = open_checkpoint(str(minilm))
    encoder = read_any(opened.config, opened.path)
    assert find_calibration(opened, encoder, SETTINGS, in_detail=True, threads=1).text == "built-in"
    with pytest.raises(ParameterError, match=r"calibration\.text.*needs a model that generates"):
        find_calibration(opened, encoder, CalibrationSettings(text="sampled"), in_detail=True, threads=1)


def test_windows_of_a_file_are_drawn_by_the_seed_and_keep_their_order(tiny_llama: Path, tmp_path: Path) -> None:
    opened = open_checkpoint(str(tiny_llama))
    decoder = read_model(opened.config, opened.path)
    file = tmp_path / "mine.txt"
    words = WORDS.split()
    file.write_text(" ".join(words[number * 7 % len(words)] for number in range(1000)))
    ids = opened.tokenizer().encode(file.read_text(), add_special=False)
    settings = CalibrationSettings(text=str(file), tokens=128, window=32)
    found = find_calibration(opened, decoder, settings, in_detail=True, threads=1)
    every = [ids[first : first + 32] for first in range(0, len(ids) - 31, 32)]
    places = [every.index(window) for window in found.windows]
    assert len(places) == 4
    assert places == sorted(places)
    assert found.text == "mine.txt"
    drawn = [
        find_calibration(opened, decoder, settings.model_copy(update={"seed": seed}), in_detail=True, threads=1).windows
        for seed in range(3)
    ]
    assert drawn[0] == found.windows
    assert drawn[1] != drawn[0] or drawn[2] != drawn[0]
    file.write_text("the a of")
    with pytest.raises(ParameterError, match=r"mine\.txt.*has 3 tokens, and a window takes 32"):
        find_calibration(opened, decoder, settings, in_detail=True, threads=1)
