"""The measured side of honed itself, in this process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import honed
from honed.api.engine_runner import closed_load, open_runner
from honed.backends.options import RunOptions
from honed.bench.peers.base import Runner


def opened(model: Path, *, context: int, sequences: int = 1) -> Runner:
    options = RunOptions(dtype="float32", threads=1, isa="portable", context=context, sequences=sequences)
    # As it comes from the process that measures.
    return open_runner(json.loads(json.dumps({"model": str(model), "options": options.to_json()})))


def test_runner_gives_the_tokens_of_generate_and_no_end_token_stops_it(tiny_llama: Path) -> None:
    runner = opened(tiny_llama, context=128)
    tokens = list(runner.generate([3, 4, 5], 100))
    assert len(tokens) == 100
    assert runner.isa == "portable"
    assert list(runner.generate([3, 4, 5], 100)) == tokens, "the first run leaves nothing behind"
    with honed.load(tiny_llama, dtype="float32", isa="portable") as model:
        generation = model.generate([3, 4, 5], max_tokens=100, temperature=0)
    assert tokens[: len(generation.tokens)] == list(generation.tokens)


def test_batch_gives_each_prompt_the_tokens_that_it_gets_alone(tiny_llama: Path) -> None:
    """At the context's full length each, so the cache must have room for all of them."""
    prompts = [[3, 4, 5], [9, 9, 2], [7, 1, 20], [11, 8, 2]]
    runner = opened(tiny_llama, context=33, sequences=4)
    tokens: list[list[int]] = [[] for _ in prompts]
    widths = []
    for step in runner.generate_batch(prompts, 30):
        widths.append(len(step))
        for sequence, token in step:
            tokens[sequence].append(token)
    assert widths == [4] * 30, "nothing waits and nothing is preempted"
    alone = opened(tiny_llama, context=33)
    assert tokens == [list(alone.generate(prompt, 30)) for prompt in prompts]


def test_sequences_ahead_go_on_until_the_last_one_has_its_tokens(tiny_llama: Path) -> None:
    """Three prompts of 200 tokens are two steps: the first two have one token more. Nothing is left behind."""
    runner = opened(tiny_llama, context=200 + 1 + 4, sequences=3)
    prompts = [[token] * 200 for token in (3, 4, 5)]
    for _ in range(2):
        steps = [sorted(sequence for sequence, _ in step) for step in runner.generate_batch(prompts, 4)]
        assert steps == [[0, 1], [0, 1, 2], [0, 1, 2], [0, 1, 2], [0, 1, 2]]
    # The same where nobody reads to the end.
    unread = runner.generate_batch(prompts, 4)
    next(iter(unread))
    unread.close()  # type: ignore[attr-defined]
    assert len(list(runner.generate(prompts[0], 5))) == 5


def test_measured_process_does_not_import_the_reporting() -> None:
    program = "import sys, honed.api.engine_runner, honed.bench.measure; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    for module in ("honed.bench.report", "honed.bench.session", "statistics", "torch", "rich", "typer"):
        assert f"'{module}'" not in done.stdout


def test_closed_load_generates_all_that_was_asked_for(tiny_llama: Path) -> None:
    options = RunOptions(dtype="float32", threads=1, isa="portable", context=64, sequences=2)
    arguments = {"model": str(tiny_llama), "options": options.to_json(), "streams": 2}
    found = closed_load({**arguments, "prompts": ["the cat", "a dog", "the hat"], "new_tokens": 5}, 0.0)
    assert found["tokens"] == 15
    assert found["seconds"] > 0
    assert found["cpu_seconds"] > 0
