from __future__ import annotations

from random import Random

import pytest

from honed.runtime.pacing import LEAST_PROMPT_ROWS, StepPacing


def steady_rows(pacing: StepPacing, fixed: float, row: float, decoding: int, noise: float = 0.0) -> list[int]:
    """Rows of prompts of the last of 200 steps on a machine where a step takes `fixed` + `row` * rows seconds."""
    random = Random(1)
    found = []
    for step in range(200):
        prompt = 0 if step % 10 == 9 else pacing.prompt_rows(decoding)
        factor = 1 + noise * (2 * random.random() - 1)
        pacing.note(decoding, prompt, (fixed + row * (decoding + prompt)) * factor)
        found += [prompt] if prompt and step >= 100 else []
    return found


@pytest.mark.parametrize(
    ("fixed", "row", "decoding"), [(0.005, 0.0002, 1), (0.005, 0.0002, 64), (0.02, 0.001, 8), (0, 0.0005, 4)]
)
def test_steps_take_the_wanted_time(fixed: float, row: float, decoding: int) -> None:
    alone = fixed + row * decoding
    wanted = max(0.08, 2 * alone)
    for rows in steady_rows(StepPacing(0.08), fixed, row, decoding):
        assert 0.9 * wanted - row <= alone + row * rows <= 1.05 * wanted


def test_noise_is_borne() -> None:
    rows = steady_rows(StepPacing(0.08), 0.005, 0.0002, 16, noise=0.3)
    assert 0.6 < sum(rows) / len(rows) / 359 < 1.4


def test_where_the_wanted_time_cannot_be_had_prompts_get_as_much_as_decoding() -> None:
    for rows in steady_rows(StepPacing(0.001), 0.1, 0.001, 10):
        assert 95 <= rows <= 115


def test_a_prompt_always_gets_on() -> None:
    pacing = StepPacing(0.001)
    assert pacing.prompt_rows(5) == LEAST_PROMPT_ROWS
    for rows in steady_rows(pacing, 0, 0.1, 5):
        assert rows == LEAST_PROMPT_ROWS


def test_it_learns_where_every_step_has_prompts() -> None:
    pacing = StepPacing(0.05)
    for _ in range(50):
        rows = pacing.prompt_rows(20)
        pacing.note(20, rows, 0.01 + 0.0001 * (20 + rows))
    assert 0.045 <= 0.01 + 0.0001 * (20 + rows) <= 0.051


def test_decoding_alone_does_not_make_it_forget() -> None:
    pacing = StepPacing(0.05)
    before = steady_rows(pacing, 0.01, 0.0001, 4)[-1]
    for _ in range(10_000):
        pacing.note(4, 0, 0.0104)
    assert pacing.prompt_rows(4) == pytest.approx(before, rel=0.05)


def test_one_step_on_a_busy_machine_changes_little() -> None:
    pacing = StepPacing(0.05)
    before = steady_rows(pacing, 0.01, 0.0001, 4)[-1]
    pacing.note(4, before, 30.0)
    assert pacing.prompt_rows(4) >= before / 3
    for _ in range(20):
        rows = pacing.prompt_rows(4)
        pacing.note(4, rows, 0.01 + 0.0001 * (4 + rows))
    assert pacing.prompt_rows(4) == pytest.approx(before, rel=0.1)


def test_a_clock_that_stands_or_a_step_of_nothing_says_nothing() -> None:
    pacing = StepPacing(0.05)
    pacing.note(0, 0, 1.0)
    pacing.note(3, 10, 0.0)
    assert pacing.prompt_rows(3) == LEAST_PROMPT_ROWS
