from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.errors import ParameterError
from honed.evaluate.windows import cut_windows


@settings(deadline=None, max_examples=100, derandomize=True)
@given(
    length=st.integers(2, 400),
    window_tokens=st.integers(2, 40),
    windows=st.one_of(st.none(), st.integers(1, 12)),
    begin=st.one_of(st.none(), st.just(777)),
)
def test_windows_are_pieces_of_the_text(
    length: int, window_tokens: int, windows: int | None, begin: int | None
) -> None:
    text = list(range(1000, 1000 + length))
    extra = 1 if begin is None else 0
    if length < (windows or 1) * window_tokens + extra:
        with pytest.raises(ParameterError, match="at least"):
            cut_windows(text, window_tokens=window_tokens, windows=windows, begin_token=begin)
        return
    cut = cut_windows(text, window_tokens=window_tokens, windows=windows, begin_token=begin)
    assert len(cut) == windows if windows is not None else 1 <= len(cut) <= 8
    seen: list[int] = []
    for window in cut:
        assert window.inputs.shape == window.targets.shape == (window_tokens,)
        assert window.inputs.dtype == window.targets.dtype == np.int32
        np.testing.assert_array_equal(window.inputs[1:], window.targets[:-1])
        if begin is None:
            assert window.inputs[0] == text[window.start]
            assert window.targets[0] == text[window.start + 1]
        else:
            assert window.inputs[0] == begin
            assert window.targets[0] == text[window.start]
        np.testing.assert_array_equal(np.diff(window.targets), 1)
        seen.extend(window.targets.tolist())
    assert len(set(seen)) == len(seen), "no token is predicted twice"
    assert cut[0].start == 0
    if len(cut) > 1:
        assert cut[-1].targets[-1] == text[-1], "the last window ends with the text"
        gaps = np.diff([window.start for window in cut])
        assert gaps.max() - gaps.min() <= 1, "spread evenly"


def test_default_takes_eight_or_what_there_is() -> None:
    assert len(cut_windows(list(range(5000)))) == 8
    assert len(cut_windows(list(range(1600)))) == 3


def test_short_text_is_told_what_it_needs() -> None:
    with pytest.raises(ParameterError, match=r"10 tokens.*at least 513"):
        cut_windows(list(range(10)))
    with pytest.raises(ParameterError, match=r"at least 400 for 4 windows of 100"):
        cut_windows(list(range(399)), window_tokens=100, windows=4, begin_token=1)


@pytest.mark.parametrize(("name", "value"), [("window_tokens", 1), ("windows", 0)])
def test_parameters_out_of_range(name: str, value: int) -> None:
    with pytest.raises(ParameterError, match=name):
        cut_windows(list(range(5000)), **{name: value})
