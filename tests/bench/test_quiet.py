from __future__ import annotations

import subprocess
import sys
import time

import pytest

from honed.bench.quiet import Reading, busy_seconds, read, taken_by_others

STAT = "cpu  100 20 30 9000 500 4 6 40 7 8\ncpu0 50 10 15 4500 250 2 3 20 0 0\nintr 1\n"


def test_busy_is_all_but_waiting() -> None:
    assert busy_seconds(STAT, 100) == (100 + 20 + 30 + 4 + 6 + 40) / 100
    for text in ("", "cpu 1 2 3\n", "intr 1 2 3 4 5 6 7 8 9\n", "cpu a b c d e f g h\n"):
        with pytest.raises(ValueError, match=r"stat|invalid literal"):
            busy_seconds(text, 100)


def test_others_are_all_but_our_own() -> None:
    before, after = Reading(100.0, 10.0, 50.0), Reading(107.0, 13.0, 52.0)
    assert taken_by_others(before, after) == 2.0
    assert taken_by_others(before, Reading(101.0, 13.0, 52.0)) == 0.0, "counted in ticks, so a little less than ours"
    assert taken_by_others(None, after) == taken_by_others(before, None) == taken_by_others(before, before) == 0.0


def test_ended_children_are_our_own() -> None:
    before = read()
    if before is None:
        pytest.skip("this system does not count it")
    subprocess.run([sys.executable, "-c", "sum(range(20_000_000))"], check=True)
    after = read()
    assert after is not None
    assert after.own_s - before.own_s > 0.05
    assert after.now <= time.monotonic()
    assert after.all_s - before.all_s >= after.own_s - before.own_s - 0.1
