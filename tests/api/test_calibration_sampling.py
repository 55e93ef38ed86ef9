"""What a model writes to be calibrated on is what sampling it alone gives, window by window."""

from __future__ import annotations

from pathlib import Path

from chatty_model import with_template
from honed.api.calibration_sampling import BEGINNING, sample_windows
from honed.api.load import load_language_model
from honed.backends.options import RunOptions
from honed.checkpoints.open import open_checkpoint
from honed.runtime.engine import Engine
from honed.runtime.request import Request, Sampling
from honed.text.calibration import CALIBRATION_TEXT


def test_half_of_the_windows_of_a_chat_model_begin_where_a_user_speaks(tiny_llama: Path, tmp_path: Path) -> None:
    directory = with_template(tiny_llama, tmp_path / "model")
    opened = open_checkpoint(str(directory))
    windows = sample_windows(opened, length=24, count=6, seed=3, threads=1)
    assert [len(window) for window in windows] == [24] * 6
    tokenizer = opened.tokenizer()
    turn = tokenizer.encode("user ", add_special=False)
    text = tokenizer.encode(CALIBRATION_TEXT, add_special=False)
    assert all(window[: len(turn)] == turn for window in windows[:3])
    beginnings = [window[:BEGINNING] for window in windows[3:]]
    assert beginnings[0] == text[:BEGINNING]
    assert all(beginning in [text[at : at + BEGINNING] for at in range(len(text))] for beginning in beginnings)
    assert len({tuple(window) for window in windows}) == 6
    # Alone, one after the other, on a backend of its own.
    with load_language_model(directory, RunOptions(context=24, threads=1)) as model:
        for number, window in enumerate(windows):
            opening = window[: len(turn) if number < 3 else BEGINNING]
            sampling = Sampling(temperature=1.0, seed=(3 << 32) + number)
            engine = Engine(model.backend, max_sequences=1, prefix_cache=False, speculation="off")
            (alone,) = engine.generate([Request(tuple(opening), 24 - len(opening), sampling)])
            assert [*opening, *alone.tokens] == window


def test_a_model_without_a_template_goes_on_with_text(tiny_llama: Path) -> None:
    windows = sample_windows(open_checkpoint(str(tiny_llama)), length=16, count=2, seed=0, threads=1)
    text = open_checkpoint(str(tiny_llama)).tokenizer().encode(CALIBRATION_TEXT, add_special=False)
    assert windows[0][:BEGINNING] == text[:BEGINNING]
    assert windows[1][:BEGINNING] != windows[0][:BEGINNING]
