"""GGUF models that lie in several files, `NAME-00001-of-0000N.gguf`, as gguf-split writes them: opened together.

The metadata is that of the first part; every part has a directory of its own tensors. Whichever part is named, all of
them are read, from its directory. Not here: what is in a part (`header.py`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from honed.checkpoints.gguf.cursor import FileBytes, MemoryBytes
from honed.checkpoints.gguf.header import MAX_TENSORS, Formats, Header, TensorEntry, parse_header
from honed.encodings.gguf_formats import FORMATS
from honed.errors import FormatError, SourceError

_NAME = re.compile(r"(.+)-([0-9]{5})-of-([0-9]{5})(\.gguf)", re.IGNORECASE | re.DOTALL)
_SHOWN = 3


@dataclass(frozen=True)
class Part:
    """One file: its header, and its bytes, mapped."""

    path: Path
    header: Header
    buffer: memoryview


def open_parts(path: Path, buffer: memoryview | None = None, formats: Formats = FORMATS.get) -> tuple[Part, ...]:
    """The file, or all parts of the model that it is a part of, in order. `buffer` stands in for the file's bytes.

    Errors: FormatError for a malformed part and for one that belongs to another model, SourceError for one that is
    missing or cannot be read; both name it.
    """
    source = FileBytes(path) if buffer is None else MemoryBytes(buffer)
    header = parse_header(source, path, formats)
    opened = Part(path, header, source.map() if isinstance(source, FileBytes) else memoryview(buffer or b""))
    count = header.metadata.integer("split.count")
    if count is None or count <= 1:
        return (opened,)
    paths = _paths(path, header, count)
    parts = tuple(opened if part == path else _open_part(part, formats) for part in paths)
    _check(parts)
    return parts


def _open_part(path: Path, formats: Formats) -> Part:
    source = FileBytes(path)
    return Part(path, parse_header(source, path, formats), source.map())


def _paths(path: Path, header: Header, count: int) -> list[Path]:
    """Of all parts. SourceError naming those that are not there."""
    name = _NAME.fullmatch(path.name)
    number = header.metadata.integer("split.no")
    if name is None or int(name[3]) != count or number is None or int(name[2]) != number + 1:
        end = f"-{(number or 0) + 1:05d}-of-{count:05d}.gguf"
        raise FormatError(
            path, "split.count", f"is {count}: the file is a part of a model, and its name must end in {end}"
        )
    paths = [path.with_name(f"{name[1]}-{part:05d}-of-{name[3]}{name[4]}") for part in range(1, count + 1)]
    paths[number] = path
    missing = [part.name for part in paths if not part.is_file()]
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise SourceError(
            f"{path}: split.count: the model has {count} parts, and of these {', '.join(missing[:_SHOWN])}{more} "
            f"{'is' if len(missing) == 1 else 'are'} missing beside it"
        )
    return paths


def _check(parts: tuple[Part, ...]) -> None:
    """That they are the parts of one model."""
    first = parts[0].header.metadata
    architecture = first.text("general.architecture")
    for number, part in enumerate(parts):
        found = part.header.metadata
        for key, expected in (("split.no", number), ("split.count", len(parts))):
            if found.integer(key) != expected:
                raise FormatError(part.path, key, f"is {found.integer(key)}, must be {expected} in a file of this name")
        if found.text("general.architecture") not in (None, architecture):
            raise FormatError(part.path, "general.architecture", f"differs from that of {parts[0].path.name}")
    total = sum(len(part.header.tensors) for part in parts)
    stated = first.integer("split.tensors.count")
    if stated is not None and stated != total:
        raise FormatError(
            parts[0].path, "split.tensors.count", f"is {stated}, and the {len(parts)} parts have {total} tensors: "
            "one of them belongs to another model"
        )  # fmt: skip
    if total > MAX_TENSORS:
        raise FormatError(
            parts[0].path, "split.tensors.count", f"the parts have {total}, must be at most {MAX_TENSORS}"
        )
    for part in parts[1:]:
        stated = part.header.metadata.integer("split.tensors.count")
        if stated not in (None, total):
            raise FormatError(part.path, "split.tensors.count", f"is {stated}, and {parts[0].path.name} says {total}")


def tensors_of(parts: tuple[Part, ...]) -> dict[str, tuple[TensorEntry, Part]]:
    """Every tensor with the part that it lies in. FormatError for one that is in two of them."""
    found: dict[str, tuple[TensorEntry, Part]] = {}
    for part in parts:
        for name, entry in part.header.tensors.items():
            if name in found:
                raise FormatError(part.path, name, f"the tensor is in {found[name][1].path.name} too")
            found[name] = entry, part
    return found
