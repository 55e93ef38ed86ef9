"""GGUF files that `honed inspect` is asked about: types, keys and tensors that are not known are told, not refused."""

from __future__ import annotations

from pathlib import Path

from fuzzing.gguf_mutations import mutate_gguf
from fuzzing.target import Target
from honed.api.inspection.report import examine
from honed.errors import HonedError
from targets import gguf


def read(data: bytes, folder: Path) -> None:
    path = folder / "m.gguf"
    path.write_bytes(data)
    report = examine(str(path))
    if not report["runs"]:  # told in the time and memory in which it would be refused
        raise HonedError(str(report["faults"]))


TARGET = Target("inspect_gguf", read, gguf.seeds, mutate_gguf)
