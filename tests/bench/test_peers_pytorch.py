"""The transformers adapter on a tiny model: against `generate()`, and its arithmetic against known shapes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from honed.bench.contender import Contender
from honed.bench.isolate import call_isolated
from honed.bench.measure import Sample
from honed.bench.peers import find_peer
from honed.bench.peers.environment import Environment
from honed.bench.peers.pytorch import ENVIRONMENT, open_runner
from honed.bench.workload import Workload
from honed.checkpoints.open import open_checkpoint


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
        "prompts": [[3, 4, 5]],
        "new_tokens": 4,
    }
    sample = Sample.from_json(call_isolated("honed.bench.measure:measure_in_worker", job))
    assert sample.decoded == 3
    assert sample.dtype == "bfloat16"
    assert sample.start_to_first_token_s > sample.load_s > 0


def planned(directory: Path, **settings: int) -> Contender:
    workload = Workload(prompt_tokens=6, new_tokens=4, threads=1, **settings)
    checkpoint = open_checkpoint(str(directory))
    (contender,) = find_peer("pytorch").contenders(str(directory), checkpoint, workload, lambda _: None)
    return contender


def test_running_environment_is_used_where_it_has_the_libraries(tiny_llama: Path) -> None:
    contender = planned(tiny_llama, batch=2)
    assert contender.interpreter is None
    assert Path(contender.arguments["directory"]) == tiny_llama
    assert [len(prompt) for prompt in contender.prompts] == [6, 6]


def test_own_environment_is_made_where_a_library_is_absent(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else found(name))
    monkeypatch.setattr(Environment, "python", lambda self, announce: Path(f"/{self.directory_name}/bin/python"))
    assert planned(tiny_llama).interpreter == f"/{ENVIRONMENT.directory_name}/bin/python"


def test_batch_gives_each_prompt_its_own_tokens(tiny_llama: Path) -> None:
    """Prompts of one length need no padding, so each is what it is alone (in float32, where ties do not decide)."""
    runner = open_runner({**arguments(tiny_llama), "dtype": "float32"})
    prompts = [[3, 9, 4, 20], [5, 5, 6, 7]]
    alone = [list(runner.generate(prompt, 6)) for prompt in prompts]
    steps = list(runner.generate_batch(prompts, 6))
    assert [[step[index][1] for step in steps] for index in range(2)] == alone
    assert alone[0] != alone[1]
