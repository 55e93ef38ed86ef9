from __future__ import annotations

from pathlib import Path

import pytest

from honed.bench.isolate import call_isolated
from honed.bench.peers import find_peer
from honed.bench.peers.own_tool import OwnTool
from honed.bench.peers.whole_call import speeds
from honed.bench.workload import Workload
from honed.checkpoints.open import open_checkpoint


def test_further_tokens_are_what_a_longer_call_takes_beyond_a_short_one() -> None:
    now = 0.0
    asked: list[int] = []

    def call(new_tokens: int) -> None:
        nonlocal now
        asked.append(new_tokens)
        # Once the machine is slow for both calls.
        now += (4 + 2 * (new_tokens - 1)) * (10 if len(asked) in (4, 5) else 1)

    found = speeds(call, sequences=3, prompt_tokens=8, new_tokens=6, clock=lambda: now)
    assert found == {"prefill_tok_s": 3 * 8 / 4, "decode_tok_s": 3 * 5 / 10}
    assert asked == [6, 1, 6, 1, 6, 1, 6]


@pytest.mark.slow
def test_real_calls_of_transformers(tiny_llama: Path) -> None:
    peer, checkpoint = find_peer("pytorch-float32"), open_checkpoint(str(tiny_llama))
    workload = Workload(prompt_tokens=16, new_tokens=4, threads=1, runs=1, batch=2)
    (contender,) = peer.contenders("m", checkpoint, workload, print)
    tool = peer.own_tool(contender, print)
    assert isinstance(tool, OwnTool)
    found = call_isolated(tool.function, tool.arguments, environment=tool.environment)
    assert all(speed > 0 for speed in found.values())


@pytest.mark.real_peer
@pytest.mark.slow
def test_real_calls_of_ctranslate2() -> None:
    from honed.bench.peers.ctranslate2 import ENVIRONMENT

    if ENVIRONMENT.find() is None:
        pytest.skip("the environment of ctranslate2 is not installed")
    peer, checkpoint = find_peer("ctranslate2"), open_checkpoint("synthetic:llama-tiny")
    workload = Workload(prompt_tokens=16, new_tokens=4, threads=1, runs=1, batch=2)
    (contender,) = peer.contenders("m", checkpoint, workload, print)
    tool = peer.own_tool(contender, print)
    assert isinstance(tool, OwnTool)
    found = call_isolated(tool.function, tool.arguments, interpreter=tool.interpreter, environment=tool.environment)
    assert all(speed > 0 for speed in found.values())
