"""Other systems where their environments are installed: what they decode is what the dense model would say.

`honed bench --against NAME` installs an environment; what is not there is skipped.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import peer_tokens
from honed.bench.isolate import call_isolated
from honed.bench.peers import find_peer
from honed.bench.peers.dense_copy import dense_directory
from honed.bench.workload import Workload
from honed.checkpoints.base import Checkpoint
from honed.checkpoints.open import open_checkpoint

pytestmark = [pytest.mark.real_peer, pytest.mark.real_model, pytest.mark.slow]

NAMES = ("ctranslate2", "onnxruntime-int4", "onnxruntime-int8", "openvino-int4", "openvino-int8")
TEXT = "The capital of France is"
NEW_TOKENS = 24
END = 2
"""The end token of SmolLM2."""


@pytest.fixture(scope="module")
def checkpoint(smollm2_gguf: Path) -> Checkpoint:
    return open_checkpoint(str(smollm2_gguf))


@pytest.fixture(scope="module")
def dense(checkpoint: Checkpoint) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(dense_directory(checkpoint), local_files_only=True).eval()


@pytest.mark.parametrize("name", NAMES)
def test_decodes_what_the_dense_model_would(
    name: str, checkpoint: Checkpoint, dense: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(peer_tokens.__file__).parent))
    home = importlib.import_module(type(find_peer(name)).__module__)
    if home.ENVIRONMENT.find() is None:
        pytest.skip(f"the environment of {name} is not installed")
    encode = checkpoint.tokenizer().encode
    ended = [*encode("Paris is big."), END, END, END]
    prompts = [encode("A list in Python is a sequence of")[: len(ended)], ended]
    assert len({len(prompt) for prompt in prompts}) == 1
    workload = Workload(prompt_tokens=len(ended), new_tokens=NEW_TOKENS, threads=2, batch=2)
    for contender in find_peer(name).contenders("smollm2", checkpoint, workload, print):
        job = {
            "open_function": contender.open_function,
            "arguments": contender.arguments,
            "text": TEXT,
            "prompts": prompts,
            "new_tokens": NEW_TOKENS,
        }
        answer = call_isolated(
            "peer_tokens:decode", job, interpreter=contender.interpreter, environment=contender.environment
        )
        assert answer["ids"] == encode(TEXT)
        for tokens in [*answer["alone"], *answer["together"]]:
            assert len(tokens) == NEW_TOKENS
        # The end token comes, and others or itself after it: it ends nothing.
        assert END in answer["alone"][1][:-1]
        # Behind end tokens there is no text to agree about.
        for tokens in (answer["alone"][0], answer["together"][0]):
            least = LEAST[contender.arguments.get("dtype", "int8")[:4]]
            shares = {top: _agreement(dense, prompts[0], tokens, top) for top in least}
            assert all(shares[top] >= least[top] for top in least), (contender.variant, shares, tokens)


LEAST = {"int8": {1: 0.9, 10: 1.0}, "int4": {1: 0.4, 10: 0.8}}
"""Share of tokens that must be among the dense model's first so many, after the same tokens. Symmetric int4 of weights
that were four-bit with minimums before changes every second choice of so small a model; a conversion that mixes up
heads or rows would leave nothing of either share."""


def _agreement(dense: Any, prompt: Sequence[int], tokens: Sequence[int], top: int) -> float:
    """Share of `tokens` among the `top` that the dense model finds likeliest there."""
    import torch

    with torch.inference_mode():
        logits = dense(torch.tensor([[*prompt, *tokens]])).logits[0, len(prompt) - 1 : -1]
    best = logits.topk(top, dim=-1).indices.tolist()
    return sum(token in row for token, row in zip(tokens, best, strict=True)) / len(tokens)
