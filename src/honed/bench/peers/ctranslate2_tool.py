"""CTranslate2 by whole calls of `generate_batch`, without a callback: it brings no benchmark of decoding."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from honed.bench.peers.whole_call import speeds


def measure_in_worker(arguments: Mapping[str, Any], spawned: float) -> dict[str, float]:
    """The function that `isolate` calls in the environment of the peer. arguments: those of `ctranslate2.open_runner`,
    prompts, new_tokens."""
    from honed.bench.peers.ctranslate2 import open_generator

    generator, words = open_generator(importlib.import_module("ctranslate2"), arguments)
    prompts: list[Sequence[str]] = [[words[token] for token in prompt] for prompt in arguments["prompts"]]

    def call(new_tokens: int) -> None:
        generator.generate_batch(
            prompts,
            max_batch_size=0,
            end_token=[],
            max_length=new_tokens,
            beam_size=1,
            sampling_topk=1,
            include_prompt_in_result=False,
        )

    return speeds(call, sequences=len(prompts), prompt_tokens=len(prompts[0]), new_tokens=arguments["new_tokens"])
