"""transformers by whole calls of its `generate()`, greedy: the benchmark in its repository is not in its package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from honed.bench.peers.whole_call import speeds


def measure_in_worker(arguments: Mapping[str, Any], spawned: float) -> dict[str, float]:
    """The function that `isolate` calls. arguments: those of `pytorch.open_runner`, prompts, new_tokens."""
    from honed.bench.peers.pytorch import open_model

    torch, _, model = open_model(arguments)
    ids = torch.tensor([list(prompt) for prompt in arguments["prompts"]])
    mask = torch.ones_like(ids)

    def call(new_tokens: int) -> None:
        model.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=new_tokens,
            min_new_tokens=new_tokens,
            do_sample=False,
            pad_token_id=0,
        )

    return speeds(call, sequences=ids.shape[0], prompt_tokens=ids.shape[1], new_tokens=arguments["new_tokens"])
