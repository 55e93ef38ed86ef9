"""lm-eval's own command line with honed in it; what the model answers is in tests/api/evaluation/."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

INSTALLED = importlib.util.find_spec("lm_eval") is not None


def run(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "honed.cli.lm_eval", *map(str, words)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environment)


@pytest.mark.skipif(INSTALLED, reason="lm-eval is installed")
def test_without_it_one_line_says_so() -> None:
    done = run("--model", "honed")
    assert done.returncode == 2
    assert done.stderr == "honed: lm-eval is not installed: pip install 'lm-eval' beside honed\n"


@pytest.mark.skipif(not INSTALLED, reason="lm-eval is not installed")
def test_a_task_is_run_by_name(tiny_llama: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps({"q": "the a", "choices": ["of", "hot"], "answer": 0}) + "\n")
    task = {
        "task": "tiny_named",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(tmp_path / "rows.jsonl")}, "cache_dir": str(tmp_path / "cache")},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{q}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{answer}}",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
    (tmp_path / "tiny.yaml").write_text(json.dumps(task))
    settings = f"pretrained={tiny_llama},dtype=float32"
    done = run("--model", "honed", "--model_args", settings, "--tasks", "tiny_named", "--include_path", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "tiny_named" in done.stdout and "acc" in done.stdout
