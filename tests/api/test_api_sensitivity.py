"""`honed.sensitivity`: the candidates of a recipe, after the passes before them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import honed
from divisible_models import save_llama
from honed.api.compress import compress
from honed.api.sensitivity import sensitivity
from honed.compress.linears import HEAD
from honed.compress.sensitivity import Sensitivity
from honed.errors import ParameterError, UnsupportedError

EIGHT: dict[str, Any] = {"weights": {"bits": 8, "group": 32}, "activations": {"group": 32}}
FOUR: dict[str, Any] = {"weights": {"bits": 4, "group": 32}, "activations": {"group": 32}}
SMOOTH: dict[str, Any] = {"pass": "smooth", "strength": 0.5}
BUILT_IN: dict[str, Any] = {"text": "built-in", "tokens": 256}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("sensitivity") / "llama")


def measured(model: Path, *passes: dict[str, Any], **given: Any) -> Sensitivity:
    return sensitivity(model, {"passes": list(passes), "calibration": BUILT_IN}, threads=1, **given)


def figures(table: Sensitivity) -> list[list[float]]:
    return [[choice.divergence for choice in choices] for choices in table.choices]


def test_the_way_in_which_a_recipe_stores_layers(llama: Path) -> None:
    table = measured(llama, {"pass": "round_to_nearest", **EIGHT})
    assert len(table.candidates) == 1
    assert HEAD in table.groups[-1].names
    assert {choice.label for choices in table.choices for choice in choices} == {
        "int8 group 32, activations in groups of 32"
    }
    assert all(0 < found < 1 for (found,) in figures(table))
    assert honed.sensitivity is sensitivity


def test_the_candidates_of_a_recipe_that_chooses(llama: Path) -> None:
    step = {"pass": "mixed", "candidates": [FOUR, EIGHT], "budget": {"bits": 6}, "tokens": 128}
    table = measured(llama, step, {"pass": "round_to_nearest", **EIGHT})
    assert len(table.candidates) == 2
    assert table.tokens <= 128
    alone = measured(llama, {"pass": "round_to_nearest", **EIGHT}, tokens=128)
    assert [row[1] for row in figures(table)] == [row[0] for row in figures(alone)]


def test_it_is_the_table_that_compressing_keeps(llama: Path, tmp_path: Path) -> None:
    step = {"pass": "mixed", "candidates": [FOUR, EIGHT], "budget": {"bits": 6}, "tokens": 256}
    passes = [SMOOTH, step, {"pass": "gptq", **FOUR}]
    compress(llama, {"passes": passes, "calibration": BUILT_IN}, out=tmp_path / "out", threads=1)
    kept = json.loads((tmp_path / "out" / "sensitivity.json").read_text())
    assert (tmp_path / "out" / "sensitivity.svg").read_text().startswith("<svg")
    assert {group.pop("chosen") for group in kept["groups"]} == {0, 1}
    assert kept == measured(llama, *passes).as_json()
    listed = json.loads((tmp_path / "out" / "honed.json").read_text())
    assert {"sensitivity.json", "sensitivity.svg"} <= set(listed["files"])
    assert any("sensitivity.json" in note for note in listed["notes"])
    with honed.load(tmp_path / "out") as model:
        assert model.generate("the a of", max_tokens=2).text


def test_the_recipe_that_ships_keeps_to_its_budget(llama: Path, tmp_path: Path) -> None:
    compress(llama, "mixed-4.5bit", out=tmp_path / "out", calibration="built-in", calibration_tokens=256, threads=1)
    kept = json.loads((tmp_path / "out" / "sensitivity.json").read_text())
    weights = sum(group["shape"][0] * group["shape"][1] for group in kept["groups"])
    used = sum(group["choices"][group["chosen"]]["bytes"] for group in kept["groups"])
    assert 4.25 < 8 * used / weights <= 4.5
    assert "lm_head" in {group["layers"] for group in kept["groups"]}
    with honed.load(tmp_path / "out") as model:
        assert model.generate("the a of", max_tokens=2).text


def test_passes_before_are_applied(llama: Path) -> None:
    """Powers of two change nothing of a model in full precision, and of its rounding they do."""
    plain = measured(llama, {"pass": "round_to_nearest", **FOUR})
    smoothed = measured(llama, SMOOTH, {"pass": "round_to_nearest", **FOUR})
    assert figures(plain) != figures(smoothed)


def test_a_head_that_stays_dense_has_no_row(llama: Path) -> None:
    dense_head = [{"modules": "lm_head", "setting": "dense"}]
    table = measured(llama, {"pass": "round_to_nearest", **EIGHT, "overrides": dense_head})
    assert not any(HEAD in group.names for group in table.groups)


def test_what_cannot_be_measured_is_refused(llama: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="stores layers"):
        measured(llama, SMOOTH)
    with pytest.raises(ParameterError, match="tokens"):
        measured(llama, {"pass": "round_to_nearest", **EIGHT}, tokens=1)
    compress(llama, {"passes": [{"pass": "round_to_nearest", **EIGHT}]}, out=tmp_path / "out", threads=1)
    with pytest.raises(UnsupportedError, match="compressed already"):
        measured(tmp_path / "out", {"pass": "round_to_nearest", **EIGHT})
