from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from honed.api.defaults import read_defaults, resolve_sampling
from honed.errors import FormatError, ParameterError
from honed.runtime.request import GREEDY, Sampling

OPEN: dict[str, Any] = dict.fromkeys(("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed"))


def written(directory: Path, content: Any) -> Path:
    (directory / "generation_config.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return directory


def test_without_a_file_it_is_greedy(tmp_path: Path) -> None:
    assert read_defaults(tmp_path) == GREEDY
    assert read_defaults(tmp_path / "model.gguf") == GREEDY


def test_what_the_makers_sample_with_is_taken(tmp_path: Path) -> None:
    config = {"do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "min_p": None, "eos_token_id": [1]}
    assert read_defaults(written(tmp_path, config)) == Sampling(temperature=0.6, top_k=20, top_p=0.95)


def test_without_do_sample_only_the_penalty_counts(tmp_path: Path) -> None:
    config = {"temperature": 0.6, "top_p": 0.9, "repetition_penalty": 1.05}
    assert read_defaults(written(tmp_path, config)) == Sampling(temperature=0, repetition_penalty=1.05)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ([], "object"),
        ({"do_sample": True, "temperature": "hot"}, "temperature"),
        ({"do_sample": True, "temperature": 99}, "temperature"),
        ({"do_sample": True, "top_k": 1.5}, "top_k"),
        ({"do_sample": True, "top_p": True}, "top_p"),
        ('{"repetition_penalty": NaN}', "repetition_penalty"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_malformed_file_is_named(tmp_path: Path, content: Any, named: str) -> None:
    with pytest.raises(FormatError, match=rf"generation_config\.json.*{named}"):
        read_defaults(written(tmp_path, content))


def test_open_settings_keep_the_defaults() -> None:
    defaults = Sampling(temperature=0.6, top_k=20)
    assert resolve_sampling(defaults, **OPEN) == defaults
    assert resolve_sampling(defaults, **OPEN | {"top_k": 5}) == Sampling(temperature=0.6, top_k=5)
    assert resolve_sampling(defaults, **OPEN | {"temperature": 0.0}) == Sampling(temperature=0, top_k=20)


@pytest.mark.parametrize(("name", "value"), [("top_k", 5), ("top_p", 0.9), ("min_p", 0.1), ("seed", 1)])
def test_who_gives_a_filter_or_a_seed_samples(name: str, value: float) -> None:
    assert resolve_sampling(GREEDY, **OPEN | {name: value}).temperature == 1


def test_a_penalty_alone_stays_greedy() -> None:
    assert resolve_sampling(GREEDY, **OPEN | {"repetition_penalty": 1.2}).temperature == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", -1), ("temperature", float("nan")), ("top_k", -1), ("top_p", 0), ("min_p", 2), ("seed", -1)],
)
def test_out_of_range_is_named(name: str, value: float) -> None:
    with pytest.raises(ParameterError, match=name):
        resolve_sampling(GREEDY, **OPEN | {name: value})
