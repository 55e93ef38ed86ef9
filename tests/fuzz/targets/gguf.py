"""GGUF files: header, config, names, and every weight decoded."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import gguf

from fuzzing.gguf_mutations import mutate_gguf
from fuzzing.target import Target
from gguf_builder import write_model
from honed.checkpoints.open import open_checkpoint
from honed.models.registry import read_model

_KINDS = gguf.GGMLQuantizationType


def read(data: bytes, folder: Path) -> None:
    path = folder / "m.gguf"
    path.write_bytes(data)
    checkpoint = open_checkpoint(str(path))
    read_model(checkpoint.config, path)
    for name in checkpoint.names:
        checkpoint.weight(name).decode()


def seeds() -> Sequence[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        kinds = {"llama": _KINDS.Q8_0, "qwen2": _KINDS.Q4_0, "qwen3": _KINDS.F16}
        return [
            write_model(Path(folder) / f"{architecture}.gguf", architecture, kind=kind).read_bytes()
            for architecture, kind in kinds.items()
        ]


TARGET = Target("gguf", read, seeds, mutate_gguf)
