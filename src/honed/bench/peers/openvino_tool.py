"""The way of OpenVINO GenAI's own benchmark, `benchmark_genai` of its samples, which its package does not ship.

That is: its `LLMPipeline` with a scheduler that computes any prompt whole and keeps none, a warm-up, and the speeds
that the pipeline itself reports (time to first token, time per output token). `llm_bench` reads the same metrics of
the same pipeline. The prompt is given as ids, so that its length is that of the adapter.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any


def measure_in_worker(arguments: Mapping[str, Any], spawned: float) -> dict[str, float]:
    """The function that `isolate` calls in the environment of the peer. arguments: directory, threads, precision,
    prompts, new_tokens."""
    library = importlib.import_module("openvino_genai")
    tensor = importlib.import_module("openvino").Tensor
    scheduler = library.SchedulerConfig()
    scheduler.enable_prefix_caching = False
    scheduler.max_num_batched_tokens = sys.maxsize
    pipeline = library.LLMPipeline(
        arguments["directory"],
        "CPU",
        scheduler_config=scheduler,
        INFERENCE_NUM_THREADS=arguments["threads"],
        INFERENCE_PRECISION_HINT=arguments["precision"],
    )
    return speeds(library, tensor, pipeline, arguments)


def speeds(library: Any, tensor: Any, pipeline: Any, arguments: Mapping[str, Any]) -> dict[str, float]:
    """What the pipeline says of the second of two equal calls."""
    import numpy as np

    config = library.GenerationConfig()
    config.max_new_tokens = arguments["new_tokens"]
    config.ignore_eos = True
    config.do_sample = False
    config.apply_chat_template = False
    ids = np.array(arguments["prompts"], dtype=np.int64)
    inputs = library.TokenizedInputs(tensor(ids), tensor(np.ones_like(ids)))
    pipeline.generate(inputs, config)
    metrics = pipeline.generate(inputs, config).perf_metrics
    return {
        "prefill_tok_s": ids.size / (metrics.get_ttft().mean / 1000),
        # Of all sequences together: its time per token is that of a step over the sequences in it.
        "decode_tok_s": float(metrics.get_throughput().mean),
    }
