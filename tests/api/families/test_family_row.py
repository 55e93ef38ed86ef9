"""What the table claims of a family is tried, and what goes wrong there is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from honed.api.families import decoders, row
from honed.api.families.row import COLUMNS, try_family
from honed.models.registry import FAMILIES

README = Path(__file__).parents[3] / "README.md"


@pytest.mark.parametrize("model_type", ["qwen2", "distilbert"])
def test_a_family_is_tried_and_is_as_the_document_shows_it(model_type: str, tmp_path: Path) -> None:
    found = try_family(model_type, tmp_path)
    assert found.problems == {}
    assert found.outcomes == {**dict.fromkeys(COLUMNS, "yes"), "GGUF": "yes" if model_type == "qwen2" else "-"}
    assert found.measured["parity"] < row.PARITY
    assert 0 < found.measured["int8"] < found.measured["int4"]
    cells = " | ".join([model_type, FAMILIES[model_type].covers, *found.outcomes.values()])
    assert f"| {cells} |\n" in README.read_text()


def test_what_goes_wrong_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoders, "same_bits", lambda checkpoint, dtype: dtype == "float32")
    monkeypatch.setattr(decoders, "same_logits", lambda one, other: False)
    monkeypatch.setattr(decoders, "distance", lambda checkpoint, directory: 0.5)
    monkeypatch.setattr(row, "RECIPES", {"int8": row.RECIPES["int8"]})
    found = try_family("qwen3", tmp_path)
    assert {column for column, outcome in found.outcomes.items() if outcome == "no"} == {
        "safetensors",
        "GGUF",
        "int8",
        "parity",
    }
    assert "sample-0 in auto" in found.problems["safetensors"]
    assert found.problems["parity"] == "0.5 of the spread from transformers"
    assert not found.is_whole


def test_a_recipe_that_loses_too_much_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row, "RECIPES", {"int4": row.Most(1.0, 0.001)})
    monkeypatch.setattr(row, "is_installed", lambda: False)
    found = try_family("bert", tmp_path)
    assert (found.outcomes["int4"], found.outcomes["int8"], found.outcomes["parity"]) == ("no", "-", "-")
    assert "of the deviation" in found.problems["int4"]
