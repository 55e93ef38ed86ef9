"""The header of a GGUF file with every kind of value, and what the metadata is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from fuzzing.gguf_mutations import mutate_gguf
from fuzzing.target import Target
from gguf_builder import SCALARS, small_file
from honed.checkpoints.gguf.header import parse_header
from honed.errors import HonedError

_KEYS = ("general.architecture", "tokenizer.ggml.tokens", "tokenizer.ggml.token_type", "flags")


def read(data: bytes, folder: Path) -> None:
    metadata = parse_header(memoryview(data), folder / "m.gguf").metadata
    for key in (*_KEYS, *(f"scalar.{kind}" for kind in SCALARS)):
        for ask in (metadata.integer, metadata.number, metadata.flag, metadata.text):
            with suppress(HonedError):  # another kind of value than was asked for
                ask(key)
    metadata.texts("tokenizer.ggml.tokens")
    metadata.integers("tokenizer.ggml.token_type")


def seeds() -> Sequence[bytes]:
    return [small_file().bytes()]


TARGET = Target("gguf_header", read, seeds, mutate_gguf)
