"""The way of ONNX Runtime GenAI's benchmark, on a library whose calls take as long as a test says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from honed.bench.isolate import call_isolated
from honed.bench.peers import find_peer
from honed.bench.peers.onnxruntime import ENVIRONMENT
from honed.bench.peers.onnxruntime_tool import speeds
from honed.bench.peers.own_tool import OwnTool
from honed.bench.workload import Workload
from honed.checkpoints.open import open_checkpoint


class Library:
    """Making a generator takes 100 s, the prompt 4, sampling the first token 50, each further token 2."""

    def __init__(self) -> None:
        self.now = 0.0
        self.options: dict[str, Any] = {}
        self.made = 0

    def GeneratorParams(self, model: str) -> Library:  # noqa: N802
        assert model == "model"
        return self

    def set_search_options(self, **options: Any) -> None:
        self.options = options

    def Generator(self, model: str, params: Any) -> Library:  # noqa: N802
        self.now += 100
        self.made += 1
        self.tokens = 0
        return self

    def append_tokens(self, ids: Any) -> None:
        assert ids.dtype == np.int32
        self.now += 4

    def generate_next_token(self) -> None:
        self.now += 2 if self.tokens else 50
        self.tokens += 1


def test_prompt_and_further_tokens_are_what_is_timed() -> None:
    library = Library()
    arguments = {"prompts": [[1, 2, 3], [4, 5, 6]], "new_tokens": 5}
    found = speeds(library, "model", arguments, lambda: library.now)
    assert found == {"prefill_tok_s": 6 / 4, "decode_tok_s": 2 / 2}
    assert (library.made, library.tokens) == (2, 5)
    assert library.options == {"do_sample": False, "batch_size": 2, "max_length": 8, "min_length": 8, "num_beams": 1}


@pytest.mark.real_peer
@pytest.mark.slow
def test_real_library_is_timed() -> None:
    if ENVIRONMENT.find() is None:
        pytest.skip("the environment of onnxruntime is not installed")
    peer, checkpoint = find_peer("onnxruntime-int8"), open_checkpoint("synthetic:llama-tiny")
    for batch in (1, 2):
        workload = Workload(prompt_tokens=40, new_tokens=6, threads=1, runs=1, batch=batch)
        (contender,) = peer.contenders("synthetic:llama-tiny", checkpoint, workload, print)
        tool = peer.own_tool(contender, print)
        assert isinstance(tool, OwnTool)
        found = call_isolated(tool.function, tool.arguments, interpreter=tool.interpreter)
        assert all(speed > 0 for speed in found.values())
