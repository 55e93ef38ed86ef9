from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from honed.api.defaults import read_defaults
from honed.errors import FormatError
from honed.notes import HonedWarning
from honed.runtime.request import GREEDY, Sampling


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
    [("{", "not JSON"), ("[" * 100_000, "nested"), ([], "object"), ('{"top_k": ' + "9" * 400 + "}", "400 digits")],
    ids=lambda value: str(value)[:30],
)
def test_a_malformed_file_is_named(tmp_path: Path, content: Any, named: str) -> None:
    with pytest.raises(FormatError, match=rf"generation_config\.json.*{named}"):
        read_defaults(written(tmp_path, content))


@pytest.mark.parametrize(
    ("name", "value", "taken", "said"),
    [
        ("top_k", -1, 0, "keeps all tokens"),
        ("top_k", 10**30, 0, "keeps all tokens"),
        ("top_k", 1.5, 0, "must be an integer"),
        ("top_k", float("inf"), 0, "must be an integer"),
        ("temperature", 2.5, 2.0, "taken as 2, the most there is"),
        ("temperature", 10**200, 2.0, "taken as 2"),
        ("temperature", -1, 1.0, "must not be negative"),
        ("temperature", "hot", 1.0, "must be a number"),
        ("temperature", float("nan"), 1.0, "must be a number"),
        ("top_p", 1.5, 1.0, "keeps all tokens"),
        ("top_p", 0, 1.0, "must be over 0"),
        ("top_p", True, 1.0, "must be a number"),
        ("min_p", -0.5, 0.0, "must be from 0 to 1"),
        ("repetition_penalty", 0, 1.0, "must be over 0"),
        ("repetition_penalty", [1], 1.0, "must be a number"),
    ],
)
def test_what_other_tools_write_is_clamped_or_left_out(
    tmp_path: Path, name: str, value: Any, taken: float, said: str
) -> None:
    with pytest.warns(HonedWarning, match=rf"generation_config\.json: {name} is .*{said}"):
        found = read_defaults(written(tmp_path, {"do_sample": True, name: value}))
    changed: dict[str, Any] = {name: taken}
    assert found == replace(Sampling(), **changed)


def test_whole_numbers_may_be_written_as_floats(tmp_path: Path) -> None:
    found = read_defaults(written(tmp_path, {"do_sample": True, "top_k": 50.0, "temperature": 1}))
    assert found == Sampling(top_k=50)
    assert isinstance(found.top_k, int)


def test_settings_that_do_not_count_are_not_spoken_of(tmp_path: Path) -> None:
    config = {"do_sample": False, "top_k": -1, "temperature": None, "num_beams": 1, "no_repeat_ngram_size": 0}
    assert read_defaults(written(tmp_path, config)) == GREEDY


def test_settings_that_are_not_applied_are_named(tmp_path: Path) -> None:
    with pytest.warns(HonedWarning, match="num_beams, no_repeat_ngram_size, suppress_tokens: not applied here"):
        read_defaults(written(tmp_path, {"num_beams": 4, "no_repeat_ngram_size": 3, "suppress_tokens": [1]}))
