"""What a GGUF file that does not run holds, and all that keeps it from running, by its headers alone.

Not here: files that run, which are opened as any other (`report.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honed.api.inspection.faults import Fault, Gathered, gather, of_error
from honed.api.inspection.looked import Looked
from honed.api.inspection.nearest import Nearest, nearest_gguf
from honed.api.inspection.tensors import Tensor, compare, is_too_many, needed_shapes, superfluous
from honed.checkpoints.gguf.config import ARCHITECTURES, read_config
from honed.checkpoints.gguf.header import TensorEntry
from honed.checkpoints.gguf.metadata import Metadata
from honed.checkpoints.gguf.names import FACTORS, huggingface_name
from honed.checkpoints.gguf.parts import Part, open_parts, tensors_of
from honed.checkpoints.gguf.unread_types import any_format, is_read
from honed.errors import HonedError
from honed.models.family import Family
from honed.models.registry import FAMILIES, read_any

_DENSE = {"F32": "dense float32", "F16": "dense float16", "BF16": "dense bfloat16"}
_SIZES = {
    "block_count": "layers",
    "attention.head_count": "heads",
    "attention.head_count_kv": "kv_heads",
    "attention.key_length": "head_dim",
    "context_length": "context",
}
"""Keys of every architecture, and what they are in a report."""
_SAMPLE = {"context_length": 2048, "feed_forward_length": 96, "attention.layer_norm_rms_epsilon": 1e-5}
_SAMPLE |= {"attention.layer_norm_epsilon": 1e-5}


def look_at_file(path: Path) -> Looked:
    """Errors: FormatError for a header that cannot be read at all."""
    parts, faults = _parts(path)
    metadata = parts[0].header.metadata
    located = tensors_of(parts)
    entries = {name: entry for name, (entry, _) in located.items()}
    tensors = [_tensor(entry, part) for entry, part in located.values()]
    faults += _types(entries.values())
    factors = {name: _factors(*located[name]) for name in FACTORS if name in located}
    architecture = metadata.values.get("general.architecture")
    known = isinstance(architecture, str) and architecture in ARCHITECTURES
    looked = Looked(
        kind="gguf",
        files=tuple(part.path for part in parts),
        tensors=tensors,
        config={"model_type": architecture} if isinstance(architecture, str) else {},
        faults=faults,
        sizes=_sizes(metadata, str(architecture), entries),
    )
    if known:
        return _of_known(looked, metadata, str(architecture), entries, factors)
    if not isinstance(architecture, str):
        looked.faults.append(Fault("key", "general.architecture", "is missing, so nothing says what model this is"))
        architecture = ""
    else:
        known_ones = ", ".join(ARCHITECTURES)
        looked.faults.append(
            Fault("architecture", "general.architecture", f"is not known here; known are {known_ones}", architecture)
        )
    near = nearest_gguf(entries)
    if near is not None and near.family.gguf is not None:
        as_near = _renamed(metadata, architecture, near.family.gguf.architecture)
        gathered = _read(as_near, near.family.gguf.architecture, entries, factors)
        looked = replace(
            looked, nearest=near, faults=[*looked.faults, *_as_spelled(gathered.faults, near, architecture)]
        )
    return looked


def _parts(path: Path) -> tuple[tuple[Part, ...], list[Fault]]:
    """All files of the model; where some of them are missing, this one."""
    try:
        return open_parts(path, formats=any_format), []
    except HonedError as error:
        from honed.checkpoints.gguf.cursor import FileBytes
        from honed.checkpoints.gguf.header import parse_header

        source = FileBytes(path)
        return (Part(path, parse_header(source, path, any_format), source.map()),), [of_error(error, "file")]


def _tensor(entry: TensorEntry, part: Part) -> Tensor:
    """Of a type whose size nobody knows: with the bytes up to the next tensor."""
    name, nbytes = entry.format.name, entry.nbytes
    if not entry.format.nbytes:
        later = (other.start for other in part.header.tensors.values() if other.start > entry.start)
        nbytes = min(later, default=len(part.buffer)) - entry.start
    return Tensor(entry.name, entry.shape, name, nbytes, _DENSE.get(name, f"gguf {name}"))


def _types(entries: Any) -> list[Fault]:
    unread: dict[str, list[str]] = {}
    for entry in entries:
        if not is_read(entry.format):
            unread.setdefault(entry.format.name, []).append(entry.name)
    return [
        Fault("type", name, "tensors of this type are not read here", count=len(of), examples=tuple(of[:3]))
        for name, of in sorted(unread.items())
    ]


def _factors(entry: TensorEntry, part: Part) -> NDArray[np.float32]:
    """Divisors of rotary frequencies; what is no vector of float32 is refused by the reader for its size."""
    if entry.format.name != "F32" or len(entry.shape) != 1:
        return np.zeros(0, np.float32)
    return np.frombuffer(part.buffer, "<f4", count=entry.shape[0], offset=entry.start)


def _sizes(metadata: Metadata, architecture: str, entries: Mapping[str, TensorEntry]) -> dict[str, int]:
    found = {}
    for key, name in _SIZES.items():
        value = metadata.values.get(f"{architecture}.{key}")
        if isinstance(value, int) and not isinstance(value, bool):
            found[name] = value
    table = entries.get("token_embd.weight")
    if table is not None:
        found["vocabulary"] = table.shape[0]
    return found


def _read(
    metadata: Metadata,
    architecture: str,
    entries: Mapping[str, TensorEntry],
    factors: Mapping[str, NDArray[np.float32]],
) -> Gathered:
    """The config of the file, of an architecture that is known, as its keys say it."""

    def read(values: Mapping[str, Any]) -> object:
        return read_config(Metadata(metadata.path, dict(values), metadata.source), entries, factors)

    sample = {f"{architecture}.{key}": value for key, value in _SAMPLE.items()}
    table = entries.get("token_embd.weight")
    sample |= {f"{architecture}.block_count": 1, f"{architecture}.attention.head_count": 1}
    sample[f"{architecture}.embedding_length"] = table.shape[-1] if table is not None else 64
    return gather(metadata.values, read, sample, "key")


def _of_known(
    looked: Looked,
    metadata: Metadata,
    architecture: str,
    entries: Mapping[str, TensorEntry],
    factors: Mapping[str, NDArray[np.float32]],
) -> Looked:
    keys = _read(metadata, architecture, entries, factors)
    faults = [*looked.faults, *keys.faults]
    if not keys.sizes_hold:
        return replace(looked, faults=faults)
    config = read_config(Metadata(metadata.path, keys.values, metadata.source), entries, factors)
    fields = gather(config, partial(read_any, source=metadata.path), {}, "field")
    faults += fields.faults
    looked = replace(looked, faults=faults, config=config)
    if not fields.sizes_hold:
        return looked
    family = FAMILIES[config["model_type"]]
    model = family.read(fields.values, metadata.path)
    if is_too_many(model):
        return looked
    assert family.gguf is not None
    forms = family.gguf.stored(model) if family.gguf.stored is not None else {}
    named = {
        entry.name: huggingface_name(entry.name, family) for entry in entries.values() if entry.name not in FACTORS
    }
    needed = needed_shapes(model, forms)
    found = {name: entries[spelled].shape for spelled, name in named.items() if name is not None}
    faults += compare(needed, found, _spelled(needed, family))
    more = [spelled for spelled, name in named.items() if name is None or name not in needed]
    faults += superfluous(more, f"a {architecture} has no such weight here")
    return replace(looked, model=model, faults=faults)


def _spelled(needed: Mapping[str, Any], family: Family) -> dict[str, str]:
    """What a GGUF file calls the weights of a family."""
    assert family.gguf is not None
    found = {name: spelled for spelled, name in family.gguf.tensors.items()}
    parts = {module: part for part, module in family.gguf.layer_tensors.items()}
    for name in needed:
        if name.startswith(family.layer_prefix):
            number, _, rest = name.removeprefix(family.layer_prefix).partition(".")
            module, _, kind = rest.rpartition(".")
            if module in parts:
                found[name] = f"blk.{number}.{parts[module]}.{kind}"
    return found


def _renamed(metadata: Metadata, architecture: str, near: str) -> Metadata:
    """With the keys of an architecture as those of another one."""
    prefix = f"{architecture}."
    values = {
        f"{near}.{key.removeprefix(prefix)}" if key.startswith(prefix) else key: value
        for key, value in metadata.values.items()
    }
    return Metadata(metadata.path, {**values, "general.architecture": near}, metadata.source)


def _as_spelled(faults: list[Fault], near: Nearest, architecture: str) -> list[Fault]:
    """Faults of a file that was read as of another architecture, with its own keys."""
    assert near.family.gguf is not None
    other = near.family.gguf.architecture

    def own(text: str) -> str:
        return text.replace(f"{other}.", f"{architecture}.")

    return [
        replace(fault, name=own(fault.name), problem=f"read as {other}: {own(fault.problem)}")
        for fault in faults
        if fault.kind == "key"
    ]
