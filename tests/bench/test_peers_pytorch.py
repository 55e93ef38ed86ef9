"""The transformers adapter on a tiny model: against `generate()`, and its arithmetic against known shapes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from honed.bench.isolate import call_isolated
from honed.bench.measure import Sample
from honed.bench.peers import find_peer
from honed.bench.peers.pytorch import PytorchPeer, open_runner
from honed.errors import ParameterError


def arguments(directory: Path) -> dict[str, Any]:
    return {"directory": str(directory), "threads": 1, "dtype": "bfloat16"}


def test_greedy_tokens_are_those_of_generate(tiny_llama: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    prompt = [3, 9, 4, 20]
    tokens = list(open_runner(arguments(tiny_llama)).generate(prompt, 12))
    model = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.bfloat16)
    expected = model.generate(torch.tensor([prompt]), max_new_tokens=12, min_new_tokens=12, do_sample=False)
    suppressed = {2} & set(tokens)  # min_new_tokens keeps the end token out, the benchmark does not
    assert not suppressed
    assert tokens == expected[0, len(prompt) :].tolist()


def test_footprint_counts_matrices_once_and_the_tied_head(tiny_llama: Path) -> None:
    footprint = open_runner(arguments(tiny_llama)).footprint
    layer = 48 * 48 * 2 + 2 * 48 * 24 + 3 * 48 * 80
    vocabulary = json.loads((tiny_llama / "config.json").read_text())["vocab_size"]
    head = vocabulary * 48
    assert footprint.prompt_operations == 2 * 2 * layer
    assert footprint.head_operations == 2 * head
    assert footprint.weight_bytes == 2 * (2 * layer + head)
    assert footprint.kv_bytes_per_position == 2 * 2 * 2 * 12 * 2


@pytest.mark.slow
def test_measured_in_a_process_of_its_own(tiny_llama: Path) -> None:
    job = {
        "open_function": "honed.bench.peers.pytorch:open_runner",
        "arguments": arguments(tiny_llama),
        "prompt": [3, 4, 5],
        "new_tokens": 4,
    }
    sample = Sample.from_json(call_isolated("honed.bench.measure:measure_in_worker", job))
    assert sample.decoded == 3
    assert sample.dtype == "bfloat16"
    assert sample.start_to_first_token_s > sample.load_s > 0


def test_absent_library_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    assert PytorchPeer("pytorch", "bfloat16").unavailable() is None
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else found(name))
    assert PytorchPeer("pytorch", "bfloat16").unavailable() == "torch not installed (pip install 'honed[torch]')"


def test_unknown_peer_is_told_the_known_ones() -> None:
    with pytest.raises(ParameterError, match=r"against = 'tensorflow': must be one of: pytorch"):
        find_peer("tensorflow")
