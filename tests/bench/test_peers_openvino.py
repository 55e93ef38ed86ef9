"""The OpenVINO adapter with a pipeline that counts."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from honed.bench.peers.openvino import OpenvinoRunner, closed_load, open_runner


class Handle:
    def __init__(self, first: int, config: Any) -> None:
        self._next = first
        self.left = config.max_new_tokens
        self._unread: list[int] = []

    def advance(self) -> None:
        self._unread.append(self._next)
        self._next += 1
        self.left -= 1

    def can_read(self) -> bool:
        return bool(self._unread)

    def read(self) -> dict[int, Any]:
        return {0: SimpleNamespace(generated_ids=[self._unread.pop(0)])}


class Pipeline:
    """Every request counts on from the last token of its prompt, one token a step."""

    opened: ClassVar[list[Pipeline]] = []

    def __init__(self, directory: str, scheduler: Any, device: str, settings: dict[str, Any]) -> None:
        self.arguments = (directory, scheduler, device, settings)
        self.requests: dict[int, Handle] = {}
        self.configs: list[Any] = []
        Pipeline.opened.append(self)

    def get_tokenizer(self) -> None:
        return None

    def add_request(self, number: int, ids: Any, config: Any) -> Handle:
        assert number not in self.requests, "numbers of requests are not used twice"
        assert ids.shape[0] == 1
        self.configs.append(config)
        self.requests[number] = Handle(int(ids[0, -1]) + 1, config)
        return self.requests[number]

    def has_non_finished_requests(self) -> bool:
        return any(handle.left for handle in self.requests.values())

    def step(self) -> None:
        for handle in self.requests.values():
            if handle.left:
                handle.advance()


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = SimpleNamespace(
        SchedulerConfig=SimpleNamespace, GenerationConfig=SimpleNamespace, ContinuousBatchingPipeline=Pipeline
    )
    monkeypatch.setattr(Pipeline, "opened", [])
    monkeypatch.setitem(sys.modules, "openvino_genai", fake)
    monkeypatch.setitem(sys.modules, "openvino", SimpleNamespace(Tensor=lambda array: array))


ARGUMENTS = {
    "directory": "/model",
    "threads": 2,
    "precision": "bf16",
    "sequences": 3,
    "positions": 65,
    "dtype": "int8",
    "footprint": {
        "weight_bytes": 1,
        "kv_bytes_per_position": 2,
        "prompt_operations": 3,
        "head_operations": 4,
        "arithmetic": "other",
    },
}


def test_requests_decode_together_and_a_runner_serves_again() -> None:
    runner = open_runner(ARGUMENTS)
    assert list(runner.generate([5, 7], 3)) == [8, 9, 10]
    assert list(runner.generate_batch([[1, 2], [3, 4]], 2)) == [[(0, 3), (1, 5)], [(0, 4), (1, 6)]]
    (pipeline,) = Pipeline.opened
    assert all(config.ignore_eos and not config.do_sample for config in pipeline.configs)


def test_scheduler_has_room_for_the_workload_and_keeps_no_prompts() -> None:
    open_runner(ARGUMENTS)
    (pipeline,) = Pipeline.opened
    _, scheduler, device, settings = pipeline.arguments
    assert scheduler.num_kv_blocks * 32 >= 3 * 65
    assert scheduler.max_num_batched_tokens >= 3 * 65
    assert scheduler.max_num_seqs == 3
    assert not scheduler.enable_prefix_caching
    assert not scheduler.dynamic_split_fuse
    assert device == "CPU"
    assert settings == {"INFERENCE_NUM_THREADS": 2, "INFERENCE_PRECISION_HINT": "bf16"}


def test_closed_load_counts_the_tokens_of_all_prompts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OpenvinoRunner, "encode", lambda self, text: [int(word) for word in text.split()])
    found = closed_load({**ARGUMENTS, "prompts": ["1 2", "3 4"], "new_tokens": 3}, 0.0)
    assert found["tokens"] == 6
    assert found["seconds"] > 0
