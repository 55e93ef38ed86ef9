"""The index of a sharded model: which tensor lies in which file (model.safetensors.index.json)."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

from honed.checkpoints.json_files import read_object
from honed.errors import FormatError, quoted


def read_index(path: Path) -> dict[str, frozenset[str]]:
    """The shards in the order of their names, each with the tensors that are said to lie there.

    Errors: FormatError, also for shards that are not safetensors files of the directory itself.
    """
    weight_map = read_object(path).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise FormatError(path, "weight_map", "must be an object from tensor to file")
    shards: dict[str, set[str]] = {}
    for name, file in weight_map.items():
        if not name.isprintable():
            raise FormatError(path, "weight_map", f"{quoted(name)} is not printable")
        tensors = shards.get(file) if isinstance(file, str) else None
        if tensors is None:
            tensors = shards.setdefault(_plain_name(file, path, name), set())
        tensors.add(name)
    return {file: frozenset(shards[file]) for file in sorted(shards)}


def _plain_name(file: object, path: Path, name: str) -> str:
    """A shard's file name, whatever its style, which must be a safetensors file of the directory itself."""
    plain = isinstance(file, str) and file == PurePosixPath(file).name == PureWindowsPath(file).name
    if not isinstance(file, str) or not plain or not file.endswith(".safetensors") or not file.isprintable():
        raise FormatError(path, f"weight_map: {name}", f"{quoted(file)} must be a .safetensors file of the directory")
    return file
