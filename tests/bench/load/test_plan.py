from __future__ import annotations

import statistics

import pytest

from honed.bench.load.plan import LoadPlan, Prompts
from honed.errors import ParameterError


def test_arrivals_at_a_rate_are_poisson() -> None:
    times = LoadPlan(requests=4000, rate=8.0).arrivals()
    gaps = [after - before for before, after in zip([0.0, *times[:-1]], times, strict=True)]
    assert min(gaps) >= 0
    # Of the exponential distribution mean and standard deviation are the same.
    assert statistics.mean(gaps) == pytest.approx(1 / 8, rel=0.08)
    assert statistics.stdev(gaps) == pytest.approx(1 / 8, rel=0.1)
    assert times == LoadPlan(requests=4000, rate=8.0).arrivals()
    assert LoadPlan(requests=3).arrivals() == [0.0, 0.0, 0.0]


def test_so_many_are_broken_off_and_so_many_invalid() -> None:
    fates = LoadPlan(requests=5000, cancel=0.1, invalid=0.05).fates()
    assert fates.count("cancel") == pytest.approx(500, rel=0.15)
    assert fates.count("invalid") == pytest.approx(250, rel=0.2)
    assert set(LoadPlan(requests=50).fates()) == {"whole"}


def test_prompts_are_as_long_as_the_server_counts_and_differ_behind_what_is_shared() -> None:
    prompts = Prompts(LoadPlan(prompt_tokens=200, shared_tokens=100))
    prompts.calibrate(100, 200)
    first, second = prompts.text(0).split(), prompts.text(1).split()
    assert len(first) == len(second) == 101  # the number of the request is one more
    assert first[:50] == second[:50]
    assert first[50] != second[50]
    alone = Prompts(LoadPlan(prompt_tokens=64))
    assert alone.text(0)[:3] != alone.text(1)[:3]


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"kind": "images"}, "kind"),
        ({"requests": 0}, "requests"),
        ({"rate": 0.0}, "rate"),
        ({"rate": float("nan")}, "rate"),
        ({"cancel": 1.5}, "cancel"),
        ({"prompt_tokens": 10, "shared_tokens": 11}, "shared_tokens"),
        ({"timeout": 0}, "timeout"),
    ],
)
def test_what_is_out_of_range_is_named(given: dict[str, object], name: str) -> None:
    with pytest.raises(ParameterError, match=name):
        LoadPlan(**given)  # type: ignore[arg-type]
