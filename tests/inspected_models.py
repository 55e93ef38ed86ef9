"""Directories that do not run for one reason or another, of zeros: only their headers are looked at."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honed.models.registry import FAMILIES
from honed.models.samples import sample_configs
from safetensors_builder import write_arrays

Arrays = dict[str, NDArray[Any]]
LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 97,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "tie_word_embeddings": True,
}


def sample(model_type: str, number: int = 0) -> dict[str, Any]:
    """A tiny config of a family."""
    return sample_configs(FAMILIES[model_type])[number]


def zeros(config: Mapping[str, Any]) -> Arrays:
    """The weights of a model whose files hold them by their names."""
    weights = FAMILIES[config["model_type"]].read(config, "a test").weights()
    return {name: np.zeros(weight.shape, np.float32) for name, weight in weights.items()}


def write(
    folder: Path, config: Mapping[str, Any] | None = None, arrays: Arrays | None = None, others: Iterable[str] = ()
) -> str:
    """A directory with a config, one file of weights, and other files that hold nothing that is read."""
    folder.mkdir(exist_ok=True)
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    if arrays is not None:
        write_arrays(folder / "model.safetensors", arrays)
    for name in others:
        (folder / name).write_bytes(b"not read")
    return str(folder)


def told(report: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The faults of a kind, by name."""
    return {fault["name"]: fault for fault in report["faults"] if fault["kind"] == kind}
