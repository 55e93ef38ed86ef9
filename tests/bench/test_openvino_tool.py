"""The way of OpenVINO GenAI's benchmark, on a library that only remembers; what is real about it is in
`test_peers_real.py`."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from honed.bench.isolate import call_isolated
from honed.bench.peers import find_peer, openvino_tool
from honed.bench.peers.openvino import ENVIRONMENT
from honed.bench.peers.own_tool import OwnTool
from honed.bench.workload import Workload
from honed.checkpoints.open import open_checkpoint

ARGUMENTS: dict[str, Any] = {
    "directory": "d",
    "threads": 2,
    "precision": "f32",
    "prompts": [[1, 2, 3], [4, 5, 6]],
    "new_tokens": 5,
}


class Pipeline:
    def __init__(self) -> None:
        self.calls: list[tuple[Any, Any]] = []

    def generate(self, inputs: Any, config: Any) -> Any:
        self.calls.append((inputs, config))
        ttft = SimpleNamespace(mean=1000.0 if len(self.calls) == 1 else 20.0)
        throughput = SimpleNamespace(mean=55.5)
        return SimpleNamespace(perf_metrics=SimpleNamespace(get_ttft=lambda: ttft, get_throughput=lambda: throughput))


def fake(made: dict[str, Any], pipeline: Pipeline) -> Any:
    def make(directory: str, device: str, **settings: Any) -> Pipeline:
        made.update(settings, directory=directory, device=device)
        return pipeline

    return SimpleNamespace(
        SchedulerConfig=SimpleNamespace,
        GenerationConfig=SimpleNamespace,
        TokenizedInputs=lambda ids, mask: (ids, mask),
        LLMPipeline=make,
    )


def test_pipelines_own_figures_of_the_call_after_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, Any] = {}
    pipeline = Pipeline()
    monkeypatch.setitem(sys.modules, "openvino_genai", fake(made, pipeline))
    monkeypatch.setitem(sys.modules, "openvino", SimpleNamespace(Tensor=lambda values: values))
    found = openvino_tool.measure_in_worker(ARGUMENTS, 0.0)
    assert found == {"prefill_tok_s": pytest.approx(6 / 0.020), "decode_tok_s": 55.5}
    assert (made["INFERENCE_NUM_THREADS"], made["INFERENCE_PRECISION_HINT"], made["device"]) == (2, "f32", "CPU")
    assert vars(made["scheduler_config"]) == {"enable_prefix_caching": False, "max_num_batched_tokens": sys.maxsize}
    (first, config), (second, _) = pipeline.calls
    assert first is second
    assert np.array_equal(first[0], ARGUMENTS["prompts"])
    assert np.array_equal(first[1], np.ones((2, 3)))
    assert (config.max_new_tokens, config.ignore_eos, config.do_sample) == (5, True, False)


@pytest.mark.real_peer
@pytest.mark.slow
def test_real_pipeline_says_its_speeds() -> None:
    if ENVIRONMENT.find() is None:
        pytest.skip("the environment of openvino is not installed")
    peer, checkpoint = find_peer("openvino-int8"), open_checkpoint("synthetic:llama-tiny")
    for batch in (1, 2):
        workload = Workload(prompt_tokens=40, new_tokens=6, threads=1, runs=1, batch=batch)
        contender = peer.contenders("synthetic:llama-tiny", checkpoint, workload, print)[0]
        tool = peer.own_tool(contender, print)
        assert isinstance(tool, OwnTool)
        found = call_isolated(tool.function, tool.arguments, interpreter=tool.interpreter)
        assert all(speed > 0 for speed in found.values())
