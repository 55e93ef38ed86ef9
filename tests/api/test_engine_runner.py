"""The measured side of honed itself, in this process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import honed
from honed.api.engine_runner import open_runner


def test_runner_gives_the_tokens_of_generate_and_no_end_token_stops_it(tiny_llama: Path) -> None:
    runner = open_runner(
        {"model": str(tiny_llama), "dtype": "float32", "kv": "auto", "threads": 1, "isa": "portable", "context": 128}
    )
    tokens = list(runner.generate([3, 4, 5], 100))
    assert len(tokens) == 100
    assert runner.isa == "portable"
    assert list(runner.generate([3, 4, 5], 100)) == tokens, "the first run leaves nothing behind"
    with honed.load(tiny_llama, dtype="float32", isa="portable") as model:
        generation = model.generate([3, 4, 5], max_tokens=100, temperature=0)
    assert tokens[: len(generation.tokens)] == list(generation.tokens)


def test_measured_process_does_not_import_the_reporting() -> None:
    program = "import sys, honed.api.engine_runner, honed.bench.measure; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    for module in ("honed.bench.report", "honed.bench.session", "statistics", "torch", "rich", "typer"):
        assert f"'{module}'" not in done.stdout
