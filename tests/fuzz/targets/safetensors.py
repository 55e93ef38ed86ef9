"""safetensors files: the header, and every tensor taken."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from fuzzing.byte_mutations import mutate_bytes
from fuzzing.json_mutations import mutate_json
from fuzzing.target import Target
from honed.checkpoints.safetensors.reader import SafetensorsFile
from honed.errors import UnsupportedError
from safetensors_builder import entry, raw_file


def read(data: bytes, folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(data)
    file = SafetensorsFile(path)
    for name in file.entries:
        with suppress(UnsupportedError):  # a type that is described and not read
            file.tensor(name).tobytes()


def seeds() -> Sequence[bytes]:
    every = ("BOOL", "U8", "I8", "F16", "BF16", "I32", "F32", "I64")
    sizes = {"BOOL": 1, "U8": 1, "I8": 1, "F16": 2, "BF16": 2, "I32": 4, "F32": 4, "I64": 8}
    header, at = {}, 0
    for number, dtype in enumerate(every):
        end = at + sizes[dtype] * 6
        header[f"layer.{number}.weight"] = entry(dtype, [2, 3], at, end)
        at = end
    small = {"a": entry("F32", [], 0, 4), "b": entry("F32", [0, 7], 4, 4), "__metadata__": {"format": "pt"}}
    return [raw_file(header, bytes(at)), raw_file(small, bytes(4)), raw_file(json.dumps(small) + " " * 9, bytes(4))]


def mutate(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """Mostly the header alone, with its length kept right."""
    length = int.from_bytes(data[:8], "little")
    if chance.random() < 0.3 or length > len(data) - 8:
        return mutate_bytes(data, chance, others)
    headers = [other[8 : 8 + int.from_bytes(other[:8], "little")] for other in others]
    return raw_file(mutate_json(data[8 : 8 + length], chance, headers), data[8 + length :])


TARGET = Target("safetensors", read, seeds, mutate)
