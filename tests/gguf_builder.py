"""GGUF files for the tests: written byte by byte where they must be wrong, with the gguf package where right."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[np.float32]]
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<B", 10: "<Q", 11: "<q", 12: "<d"}
HEADS, KV_HEADS, HEAD_DIM, HIDDEN, INNER, VOCABULARY, LAYERS = 4, 2, 16, 64, 96, 40, 2


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def pair(key: str | bytes, kind: int, value: Any) -> bytes:
    """One key-value pair; a string for kind 8, (element kind, list) for 9, raw bytes for what no kind can say."""
    head = text(key) + struct.pack("<I", kind)
    if isinstance(value, bytes):
        return head + value
    if kind == 8:
        return head + text(value)
    if kind == 9:
        element, items = value
        packed = (text(item) if element == 8 else struct.pack(SCALARS[element], item) for item in items)
        return head + struct.pack("<IQ", element, len(items)) + b"".join(packed)
    return head + struct.pack(SCALARS[kind], value)


def tensor(name: str | bytes, shape: Sequence[int], kind: int, offset: int, dimensions: int | None = None) -> bytes:
    """One entry of the tensor directory; `shape` innermost first, as the file has it."""
    count = len(shape) if dimensions is None else dimensions
    extents = b"".join(struct.pack("<Q", extent) for extent in shape)
    return text(name) + struct.pack("<I", count) + extents + struct.pack("<IQ", kind, offset)


@dataclass
class RawFile:
    """A file put together from parts; counts are those of the parts unless they are set to something else."""

    pairs: list[bytes] = field(default_factory=list)
    tensors: list[bytes] = field(default_factory=list)
    data: bytes = b""
    magic: bytes = b"GGUF"
    version: int = 3
    pair_count: int | None = None
    tensor_count: int | None = None
    alignment: int = 32

    def header(self) -> bytes:
        tensors = len(self.tensors) if self.tensor_count is None else self.tensor_count
        pairs = len(self.pairs) if self.pair_count is None else self.pair_count
        start = self.magic + struct.pack("<IQQ", self.version, tensors, pairs)
        return start + b"".join(self.pairs) + b"".join(self.tensors)

    def bytes(self) -> bytes:
        header = self.header()
        return header + bytes(-len(header) % self.alignment) + self.data


def small_file() -> RawFile:
    """A well-formed header with every kind of value, and two tensors."""
    return RawFile(
        pairs=[
            pair("general.architecture", 8, "llama"),
            *(pair(f"scalar.{kind}", kind, 1) for kind in SCALARS),
            pair("tokenizer.ggml.tokens", 9, (8, ["a", "b", "Ġthe", ""])),
            pair("tokenizer.ggml.token_type", 9, (5, [1, 1, 3, -1])),
            pair("flags", 9, (7, [0, 1, 1])),
        ],
        tensors=[tensor("a", [32, 2], 8, 0), tensor("b", [3], 0, 96)],
        data=bytes(range(96)) + struct.pack("<fff", 1.0, 2.0, 3.0),
    )


def random_arrays(architecture: str, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """The tensors of a tiny model of the architecture, by GGUF name, outermost dimension first."""
    rng = np.random.default_rng(seed)

    def made(*shape: int) -> NDArray[np.float32]:
        return rng.standard_normal(shape).astype(np.float32)

    arrays = {"token_embd.weight": made(VOCABULARY, HIDDEN), "output_norm.weight": made(HIDDEN)}
    queries, keys = HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM
    for layer in range(LAYERS):
        blk = f"blk.{layer}"
        arrays |= {f"{blk}.attn_norm.weight": made(HIDDEN), f"{blk}.ffn_norm.weight": made(HIDDEN)}
        arrays |= {f"{blk}.attn_q.weight": made(queries, HIDDEN), f"{blk}.attn_k.weight": made(keys, HIDDEN)}
        arrays |= {f"{blk}.attn_v.weight": made(keys, HIDDEN), f"{blk}.attn_output.weight": made(HIDDEN, queries)}
        arrays |= {f"{blk}.ffn_gate.weight": made(INNER, HIDDEN), f"{blk}.ffn_up.weight": made(INNER, HIDDEN)}
        arrays |= {f"{blk}.ffn_down.weight": made(HIDDEN, INNER)}
        if architecture == "qwen2":
            biases = zip("qkv", (queries, keys, keys), strict=True)
            arrays |= {f"{blk}.attn_{part}.bias": made(width) for part, width in biases}
        if architecture in ("gemma2", "gemma3"):
            arrays |= {f"{blk}.post_{half}_norm.weight": made(HIDDEN) for half in ("attention", "ffw")}
        if architecture in ("qwen3", "gemma3"):
            arrays |= {f"{blk}.attn_{part}_norm.weight": made(HEAD_DIM) for part in "qk"}
    return arrays


def settings(architecture: str) -> dict[str, int | float | str]:
    """Metadata of the tiny model; keys that begin with a dot belong to the architecture."""
    return {
        "general.architecture": architecture,
        ".context_length": 128,
        ".embedding_length": HIDDEN,
        ".block_count": LAYERS,
        ".feed_forward_length": INNER,
        ".attention.head_count": HEADS,
        ".attention.head_count_kv": KV_HEADS,
        ".attention.layer_norm_rms_epsilon": 1e-5,
        ".rope.freq_base": 10000.0,
    }


def write_model(
    path: Path,
    architecture: str = "llama",
    *,
    changed: Mapping[str, int | float | str | Sequence[Any] | None] | None = None,
    arrays: Arrays | None = None,
    kind: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
) -> Path:
    """Writes a tiny model with the gguf package. `changed` sets metadata keys, None removes one.

    Matrices are quantized to `kind`, vectors stay F32, as converters do it.
    """
    writer = gguf.GGUFWriter(path, architecture)
    keys: dict[str, int | float | str | Sequence[Any] | None] = {**settings(architecture), **(changed or {})}
    for key, value in keys.items():
        full = architecture + key if key.startswith(".") else key
        if value is None or full == "general.architecture":
            continue
        if isinstance(value, bool):
            writer.add_bool(full, value)
        elif isinstance(value, str):
            writer.add_string(full, value)
        elif isinstance(value, Sequence):
            writer.add_array(full, value)
        elif isinstance(value, float):
            writer.add_float32(full, value)
        else:
            writer.add_uint32(full, value)
    for name, array in (random_arrays(architecture) if arrays is None else arrays).items():
        if array.ndim == 2 and kind != gguf.GGMLQuantizationType.F32:
            writer.add_tensor(name, gguf.quants.quantize(array, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
