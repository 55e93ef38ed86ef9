"""Arrays and weights that a job keeps for the run that goes on with it: a safetensors file each, whole or not there.

A file says what it holds and has a SHA-256 of that and of its tensors. One that is missing, cut short or changed is as
good as not kept: what it held is made again. Not here: where the files lie (`folder.py`).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honed.checkpoints.safetensors.reader import SafetensorsFile
from honed.checkpoints.safetensors.spec import TensorSpec
from honed.checkpoints.safetensors.writer import SafetensorsWriter
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.encodings.descriptor import Storable
from honed.encodings.scheme import from_json, to_json
from honed.errors import HonedError
from honed.notes import note

PARTIAL = ".partial-"
_ABOUT, _DIGEST = "about", "sha256"
_WINDOWS = "windows"


def save_weight(path: Path, name: str, weight: Encoded) -> None:
    """In its encoding; one that no artifact may have in float32. OSError where it cannot be written."""
    if not isinstance(weight, Storable):
        weight = Dense(np.ascontiguousarray(weight.decode()), "float32")
    scheme, shape = weight.scheme, weight.shape
    specs = [TensorSpec.of(name, part) for part in scheme.tensors(shape)]
    parts = weight.parts()
    tensors = {name + part.suffix: parts[part.suffix] for part in scheme.tensors(shape)}
    _write(path, specs, tensors, {"name": name, "shape": list(shape), "scheme": to_json(scheme)})


def load_weight(path: Path, name: str) -> Encoded | None:
    """As it was saved, mapped. None where it is not there; that it is damaged is noted."""
    found = _read(path)
    if found is None:
        return None
    file, about = found
    try:
        if about["name"] != name:
            return None
        return from_json(about["scheme"]).read(tuple(about["shape"]), lambda suffix: file.tensor(name + suffix))
    except (HonedError, KeyError, TypeError, ValueError) as error:
        _note_damage(path, error)
        return None


def save_windows(path: Path, windows: NDArray[np.int32]) -> None:
    """Token ids [windows, tokens of each]. OSError where they cannot be written."""
    _write(path, [TensorSpec(_WINDOWS, "I32", windows.shape)], {_WINDOWS: windows}, {})


def load_windows(path: Path) -> NDArray[np.int32] | None:
    """As `load_weight`."""
    found = _read(path)
    if found is None:
        return None
    try:
        return np.asarray(found[0].tensor(_WINDOWS), np.int32)
    except (HonedError, KeyError) as error:
        _note_damage(path, error)
        return None


def _write(path: Path, specs: list[TensorSpec], tensors: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> None:
    partial = path.with_name(PARTIAL + os.urandom(8).hex())
    said = json.dumps(about)
    metadata = {_ABOUT: said, _DIGEST: _digest(said, tensors)}
    try:
        with SafetensorsWriter(partial, specs, metadata) as writer:
            for name, values in tensors.items():
                writer.write(name, values)
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


def _read(path: Path) -> tuple[SafetensorsFile, Mapping[str, Any]] | None:
    if not os.path.lexists(path):
        return None
    try:
        file = SafetensorsFile(path)
        said = file.metadata[_ABOUT]
        about = json.loads(said)
        if not isinstance(about, dict) or file.metadata[_DIGEST] != _digest(
            said, {name: file.tensor(name) for name in file.entries}
        ):
            _note_damage(path, "its bytes are not those that were written")
            return None
    except (HonedError, OSError, KeyError, ValueError) as error:
        _note_damage(path, error)
        return None
    return file, about


def _note_damage(path: Path, problem: object) -> None:
    note(f"{path.name} of the unfinished job is damaged ({problem}); what it held is made again")


def _digest(said: str, tensors: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256(f"{len(said)}:{said}".encode("utf-8", "surrogateescape"))
    for name in sorted(tensors):
        values = np.ascontiguousarray(tensors[name])
        digest.update(f"{len(name)}:{name}{values.dtype.str}{values.shape}".encode())
        digest.update(values.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
