"""The index of a model in shards."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fuzzing.json_mutations import mutate_json
from fuzzing.target import Target
from honed.checkpoints.huggingface.directory import Directory
from safetensors_builder import write_arrays

_SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def read(data: bytes, folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "model.safetensors.index.json").write_bytes(data)
    for number, shard in enumerate(_SHARDS):
        write_arrays(folder / shard, {f"{number}.{name}": np.ones((2, 3), np.float32) for name in "ab"})
    directory = Directory(folder)
    for name in directory.names:
        directory.tensor(name).tobytes()


def seeds() -> Sequence[bytes]:
    names = {f"{number}.{name}": shard for number, shard in enumerate(_SHARDS) for name in "ab"}
    return [json.dumps({"metadata": {"total_size": 96}, "weight_map": names}).encode()]


TARGET = Target("index", read, seeds, mutate_json)
