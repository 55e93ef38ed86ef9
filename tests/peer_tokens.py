"""What a system decodes, asked in its own environment. Imports what a bare Python has."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from honed.bench.peers.base import Runner


def decode(arguments: Mapping[str, Any], spawned: float) -> dict[str, Any]:
    """The function that `isolate` calls. arguments: open_function, arguments, text, prompts, new_tokens."""
    module, _, name = str(arguments["open_function"]).partition(":")
    opener: Callable[[Mapping[str, Any]], Runner] = getattr(importlib.import_module(module), name)
    runner = opener(arguments["arguments"])
    prompts, new_tokens = arguments["prompts"], arguments["new_tokens"]
    together: list[list[int]] = [[] for _ in prompts]
    for step in runner.generate_batch(prompts, new_tokens):
        for sequence, token in step:
            together[sequence].append(token)
    return {
        "ids": runner.encode(arguments["text"]),
        "alone": [list(runner.generate(prompt, new_tokens)) for prompt in prompts],
        "together": together,
        "dtype": runner.dtype,
        "kv_bytes": runner.footprint.kv_bytes_per_position,
    }
