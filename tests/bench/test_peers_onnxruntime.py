"""The ONNX Runtime GenAI adapter with a library that counts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honed.bench.peers.onnxruntime import convert_in_worker, open_runner


class Library:
    """Counts on from the last token of each prompt, as the module onnxruntime_genai would decode."""

    def __init__(self) -> None:
        self.overlays: list[Any] = []
        self.options: list[dict[str, Any]] = []
        library = self

        class Config:
            def __init__(self, directory: str) -> None:
                self.directory = directory

            def overlay(self, text: str) -> None:
                library.overlays.append(json.loads(text))

        class GeneratorParams:
            def __init__(self, model: object) -> None:
                pass

            def set_search_options(self, **options: Any) -> None:
                library.options.append(options)

        class Generator:
            def __init__(self, model: object, params: GeneratorParams) -> None:
                self._last = np.zeros(0, dtype=np.int32)

            def append_tokens(self, ids: Any) -> None:
                assert ids.shape[0] == library.options[-1]["batch_size"]
                self._last = ids[:, -1]

            def generate_next_token(self) -> None:
                self._last = self._last + 1

            def get_next_tokens(self) -> Any:
                return self._last

        self.Config, self.GeneratorParams, self.Generator = Config, GeneratorParams, Generator
        self.Model = lambda config: config
        self.Tokenizer = lambda model: None


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    fake = Library()
    monkeypatch.setitem(sys.modules, "onnxruntime_genai", fake)
    return fake


ARGUMENTS = {
    "directory": "/model",
    "threads": 3,
    "dtype": "int4 block 64",
    "footprint": {
        "weight_bytes": 1,
        "kv_bytes_per_position": 2,
        "prompt_operations": 3,
        "head_operations": 4,
        "arithmetic": "int8",
    },
}


def test_steps_hold_a_token_of_every_sequence(library: Library) -> None:
    runner = open_runner(ARGUMENTS)
    assert list(runner.generate([5, 7], 3)) == [8, 9, 10]
    assert list(runner.generate_batch([[1, 2], [3, 4]], 2)) == [[(0, 3), (1, 5)], [(0, 4), (1, 6)]]
    assert library.options[-1] == {"batch_size": 2, "max_length": 4, "do_sample": False, "num_beams": 1}


def test_threads_are_set_and_no_token_ends_a_sequence(library: Library) -> None:
    open_runner(ARGUMENTS)
    (overlay,) = library.overlays
    assert overlay["model"]["eos_token_id"] == []
    assert overlay["model"]["decoder"]["session_options"]["intra_op_num_threads"] == 3


def test_builder_is_asked_for_the_logits_of_the_last_token_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", lambda command, **_: commands.append(command))
    convert_in_worker({"source": "/dense", "target": str(tmp_path), "precision": "int8", "block": 64}, 0.0)
    (command,) = commands
    assert command[:3] == [sys.executable, "-m", "onnxruntime_genai.models.builder"]
    assert command[command.index("-p") + 1] == "int8"
    options = command[command.index("--extra_options") + 1 :]
    assert {"prune_lm_head=true", "accuracy_level=4", "block_size=64"} <= set(options)
    assert not list(tmp_path.iterdir()), "the builder's cache stays behind"


def test_builder_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(subprocess.CalledProcessError):
        convert_in_worker({"source": "/dense", "target": str(tmp_path), "precision": "int8", "block": 64}, 0.0)
