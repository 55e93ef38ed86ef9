from __future__ import annotations

import shlex

import pytest

from honed.cli.main import VERBS
from honed.cli.overview import SUMMARIES, overview


def test_every_verb_has_its_line() -> None:
    assert set(SUMMARIES) == set(VERBS)
    lines = overview(list(VERBS), 80).splitlines()
    for verb, summary in SUMMARIES.items():
        assert any(line.split() == [verb, *summary.split()] for line in lines)


@pytest.mark.parametrize("width", [1, 20, 40, 80, 300])
def test_it_fits_the_terminal_but_for_commands(width: int) -> None:
    lines = overview(list(VERBS), width).splitlines()
    assert all(len(line) <= max(width, 20) for line in lines if not line.startswith("  honed "))


def test_the_first_commands_are_ones_that_can_be_typed() -> None:
    commands = [line.strip() for line in overview(list(VERBS), 80).splitlines() if line.startswith("  honed ")]
    assert len(commands) == 3
    assert all(shlex.split(command)[1] in VERBS for command in commands)
