"""`honed sensitivity`: a table for people, JSON for programs, and both files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from divisible_models import save_llama
from honed.cli.sensitivity import sensitivity
from honed.errors import SourceError


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("cli-sensitivity") / "llama")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "recipe.json"
    step = {"pass": "round_to_nearest", "weights": {"bits": 8, "group": 32}, "activations": {"group": 32}}
    path.write_text(json.dumps({"passes": [step], "calibration": {"text": "built-in", "tokens": 128}}))
    return path


def test_a_row_for_each_group(llama: Path, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, picture = tmp_path / "table.json", tmp_path / "table.svg"
    sensitivity(str(llama), recipe=str(recipe), output=table, plot=picture, threads=1)
    shown = capsys.readouterr().out
    kept = json.loads(table.read_text())
    for group in kept["groups"]:
        line = next(line for line in shown.splitlines() if line.startswith(group["layers"]))
        assert f"{group['choices'][0]['divergence']:.2e}" in line
    assert "int8 group 32" in shown
    assert "all together" in shown
    assert picture.read_text().startswith("<svg")


def test_one_document_of_json(llama: Path, recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sensitivity(str(llama), recipe=str(recipe), threads=1, as_json=True)
    assert json.loads(capsys.readouterr().out)["groups"]


def test_files_are_looked_at_before_anything_is_measured(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="--plot"):
        sensitivity("no-such-model", recipe=str(recipe), plot=tmp_path / "nowhere" / "table.svg")
