"""The way of ONNX Runtime GenAI's own benchmark, `benchmark_e2e.py`, which its package does not ship.

That is: a warm-up of the whole length, then a generator that is made before any clock is read, `append_tokens` timed as
the prompt, the first `generate_next_token`, which only samples, left out of both speeds, and each further one timed as
a token. A minimal length keeps the end token away.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from typing import Any


def measure_in_worker(arguments: Mapping[str, Any], spawned: float) -> dict[str, float]:
    """The function that `isolate` calls in the environment of the peer. arguments: directory, threads, prompts,
    new_tokens."""
    from honed.bench.peers.onnxruntime import session_overlay

    library = importlib.import_module("onnxruntime_genai")
    config = library.Config(arguments["directory"])
    config.overlay(session_overlay(arguments["threads"]))
    return speeds(library, library.Model(config), arguments)


def speeds(
    library: Any, model: Any, arguments: Mapping[str, Any], clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Of the second of two equal rounds."""
    import numpy as np

    ids = np.array(arguments["prompts"], dtype=np.int32)
    sequences, length = ids.shape
    total = length + arguments["new_tokens"]
    params = library.GeneratorParams(model)
    params.set_search_options(do_sample=False, batch_size=sequences, max_length=total, min_length=total, num_beams=1)
    prompt_s, token_s = 0.0, 0.0
    for _ in range(2):
        generator = library.Generator(model, params)
        begin = clock()
        generator.append_tokens(ids)
        prompt_s = clock() - begin
        generator.generate_next_token()
        begin = clock()
        for _ in range(arguments["new_tokens"] - 1):
            generator.generate_next_token()
        token_s = (clock() - begin) / (arguments["new_tokens"] - 1)
        del generator
    return {"prefill_tok_s": sequences * length / prompt_s, "decode_tok_s": sequences / token_s}
