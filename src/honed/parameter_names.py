"""What parameters are called elsewhere, and here: the answer to a name that a function does not have.

Not here: checks of values (`parameters.py`).
"""

from __future__ import annotations

from collections.abc import Collection

RENAMED: dict[str, str] = {
    **dict.fromkeys(
        ("max_new_tokens", "max_length", "num_predict", "n_predict", "max_completion_tokens", "max_gen_len", "n"),
        "max_tokens",
    ),
    "temp": "temperature",
    **dict.fromkeys(("repeat_penalty", "repetition"), "repetition_penalty"),
    **dict.fromkeys(("stop_strings", "stop_sequences", "stop_words", "stop_string"), "stop"),
    **dict.fromkeys(("random_seed", "rng_seed", "manual_seed", "random_state"), "seed"),
    **dict.fromkeys(
        (
            "n_ctx", "num_ctx", "ctx_size", "context_length", "context_size", "max_context", "max_model_len",
            "max_seq_len", "max_seq_length",
        ),
        "context",
    ),
    **dict.fromkeys(("n_threads", "num_threads", "num_thread", "nthreads", "cpus", "jobs"), "threads"),
    **dict.fromkeys(("torch_dtype", "compute_type", "precision"), "dtype"),
    **dict.fromkeys(("kv_dtype", "kv_cache_dtype", "cache_type", "cache_dtype", "type_k", "type_v"), "kv"),
    **dict.fromkeys(("n_parallel", "num_parallel", "max_num_seqs", "max_batch_size", "batch_size"), "sequences"),
    **dict.fromkeys(("model", "model_name", "model_path", "model_id", "pretrained_model_name_or_path"), "name"),
    **dict.fromkeys(("messages", "input", "inputs", "text", "input_ids", "prompt_token_ids"), "prompt"),
    **dict.fromkeys(("sampling_params", "generation_config"), "sampling"),
    **dict.fromkeys(("output", "output_dir", "out_dir", "save_dir", "outfile"), "out"),
    **dict.fromkeys(("quantization", "quantize", "quant", "scheme", "bits"), "recipe"),
    **dict.fromkeys(("system_prompt", "system_message"), "system"),
}  # fmt: skip
"""What parameters are called elsewhere, and here."""

_EXPLAINED = {
    "do_sample": "temperature=0 takes the most probable token, a temperature over 0 samples",
    "stream": "the method stream() gives the reply piece by piece",
    "num_beams": "there is no search with beams; leave it out",
    "num_return_sequences": "generate_batch runs several prompts",
    "trust_remote_code": "code of checkpoints is never run; leave it out",
    **dict.fromkeys(
        ("device", "device_map", "n_gpu_layers", "gpu_layers"), "models run on the processor here; leave it out"
    ),
}
_HOMES = {
    **dict.fromkeys(("dtype", "kv", "threads", "isa", "context", "sequences", "revision", "backend"), "honed.load"),
    **dict.fromkeys(("max_tokens", "temperature", "top_k", "top_p", "min_p", "seed", "stop"), "generate"),
    "repetition_penalty": "generate",
}
"""Where a parameter belongs that was given to another function."""


def answer(name: str, known: Collection[str]) -> str:
    """What to say of a name that is none of the known ones of a function."""
    here = RENAMED.get(name, name)
    if here in known:
        return f"is called {here} here"
    if name in _EXPLAINED:
        return _EXPLAINED[name]
    if here in _HOMES:
        called = "is a parameter" if here == name else f"is called {here} here, and is a parameter"
        return f"{called} of {_HOMES[here]}"
    return f"is not a parameter; {closest(name, known)}those that are: {', '.join(known)}"


def closest(value: str, known: Collection[str]) -> str:
    """A hint at the known text that is meant, or nothing."""
    import difflib

    near = difflib.get_close_matches(value[:100], known, n=1)
    return f"did you mean {near[0]}? " if near else ""
