from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from honed.cli.repetition import LOOKED_AT, TIMES, loop_length


def test_a_loop_is_found_with_its_length() -> None:
    assert loop_length("Once upon a time. " + "la femme au roi, " * 40) == len("la femme au roi, ")
    assert loop_length("x" * 1000) == 1


def test_texts_that_are_no_loops() -> None:
    assert loop_length("ha " * (LOOKED_AT // 3 - 1)) == 0  # short yet
    assert loop_length("".join(f"{number}. A line of a list\n" for number in range(200))) == 0
    long = "A sentence of more than fifty characters, which is said again. "
    assert len(long) * TIMES > LOOKED_AT
    assert loop_length(long * 40) == 0
    assert loop_length("la " * 400 + "and then it ended.") == 0


@given(st.text("ab", min_size=1, max_size=60), st.text("ab", max_size=500))
def test_equals_a_plain_search(piece: str, before: str) -> None:
    text = before + piece * (LOOKED_AT // len(piece) + 1)
    end = text[-LOOKED_AT:]
    expected = next(
        (n for n in range(1, LOOKED_AT // TIMES + 1) if end[n:] == end[:-n]),
        0,
    )
    assert loop_length(text) == expected
