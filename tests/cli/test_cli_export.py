"""`honed export` as it is called."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from exportable_models import sample


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample(tmp_path_factory.mktemp("export") / "m", "qwen2")


def honed(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "honed.cli.main", "export", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_table_and_one_document(model: Path, tmp_path: Path) -> None:
    done = honed(str(model), "-o", str(tmp_path / "a.gguf"), "--type", "Q8_0")
    assert done.returncode == 0, done.stderr
    assert "Q8_0" in done.stdout
    done = honed(str(model), "-o", str(tmp_path / "b.gguf"), "--type", "Q8_0", "--json")
    report = json.loads(done.stdout)
    assert report["bytes"] == (tmp_path / "b.gguf").stat().st_size
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()


def test_a_file_that_is_there_stays(model: Path, tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF of somebody")
    done = honed(str(model), "-o", str(tmp_path / "m.gguf"))
    assert done.returncode != 0
    assert done.stderr.startswith("honed: ") and "--overwrite" in done.stderr
    assert (tmp_path / "m.gguf").read_bytes() == b"GGUF of somebody"
    assert honed(str(model), "-o", str(tmp_path / "m.gguf"), "--overwrite").returncode == 0
