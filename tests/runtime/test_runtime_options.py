from __future__ import annotations

from typing import Any

import pytest

from honed.errors import ParameterError
from honed.runtime.options import SamplingOptions, settled
from honed.runtime.request import GREEDY, Sampling


def test_open_settings_keep_the_defaults() -> None:
    defaults = Sampling(temperature=0.6, top_k=20)
    assert SamplingOptions().over(defaults) == defaults
    assert SamplingOptions(top_k=5).over(defaults) == Sampling(temperature=0.6, top_k=5)
    assert SamplingOptions(temperature=0.0).over(defaults) == Sampling(temperature=0, top_k=20)


@pytest.mark.parametrize("given", [{"top_k": 5}, {"top_p": 0.9}, {"min_p": 0.1}, {"seed": 1}])
def test_who_gives_a_filter_or_a_seed_samples(given: dict[str, Any]) -> None:
    assert SamplingOptions(**given).over(GREEDY).temperature == 1
    assert SamplingOptions(**given, temperature=0).over(GREEDY).temperature == 0


def test_a_penalty_alone_stays_greedy() -> None:
    assert SamplingOptions(repetition_penalty=1.2).over(GREEDY).temperature == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", -1), ("temperature", float("nan")), ("top_k", -1), ("top_p", 0), ("min_p", 2), ("seed", -1)],
)
def test_out_of_range_is_named(name: str, value: Any) -> None:
    with pytest.raises(ParameterError, match=name):
        SamplingOptions(**{name: value})


def test_a_sampling_leaves_nothing_to_the_defaults() -> None:
    defaults = Sampling(temperature=0.6, top_k=20)
    assert settled(Sampling(top_p=0.5), {}, defaults) == Sampling(top_p=0.5)
    assert settled(Sampling(top_p=0.5), {"top_k": 3, "seed": None}, defaults) == Sampling(top_p=0.5, top_k=3)
    assert settled(SamplingOptions(top_p=0.5), {"top_p": None}, defaults) == defaults
    assert settled(None, {"top_p": 0.5}, defaults) == Sampling(temperature=0.6, top_k=20, top_p=0.5)
    with pytest.raises(ParameterError, match=r"sampling = {.*}: must be a honed.SamplingOptions, a honed.Sampling"):
        settled({"top_p": 0.5}, {}, defaults)  # type: ignore[arg-type]
