"""Writes an artifact: weights one at a time, the files that other tools look for, and the manifest last.

The directory is staged (`staging.py`), so it appears whole or not at all. What the weights become is decided by the
caller; nothing here knows of recipes or passes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honed.checkpoints.artifact.layout import INDEX_FILE, METADATA, SHARD_BYTES, Layout, WeightFile, plan_layout
from honed.checkpoints.artifact.manifest import MANIFEST, FileRecord, Provenance, WeightRecord, build_document, to_text
from honed.checkpoints.artifact.model_card import model_card
from honed.checkpoints.artifact.staging import staged_directory
from honed.checkpoints.compressed_tensors.format import quantization_config, to_tensors
from honed.checkpoints.fingerprint import file_sha256
from honed.checkpoints.safetensors.writer import SafetensorsWriter
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.encodings.scheme import DenseScheme, Scheme, scheme_of

SMALL_FILES_BYTES = 4 << 20
"""Room for the JSON files that are written beside weights and tokenizer."""


@dataclass(frozen=True)
class DenseForm:
    """A weight as other tools read it, beside the form that only this project reads."""

    scheme: DenseScheme
    weight: Callable[[], Dense]


@dataclass(frozen=True)
class Contents:
    """What an artifact is to hold.

    `schemes` and `shapes` go by weight name, in the order of writing. `head` names the head among them if it is
    encoded (a tied one under a name of its own), `linear` the weights of linear layers beside it. `apart` are the
    weights for this project alone, the encoded head among them, and what other tools read under the same name: None
    where they read nothing, as for a tied head. `weight` computes one weight as this project reads it, and `error`
    gives the relative error of one that has been computed, None for a dense one. `side_files` are the tokenizer's and
    the like.
    """

    config: Mapping[str, Any]
    schemes: Mapping[str, Scheme]
    shapes: Mapping[str, tuple[int, ...]]
    linear: Set[str]
    head: str | None
    apart: Mapping[str, DenseForm | None]
    weight: Callable[[str], Encoded]
    error: Callable[[str], float | None]
    side_files: Mapping[str, bytes]
    provenance: Provenance


def layout_of(contents: Contents) -> Layout:
    records = {name: WeightRecord(scheme, contents.shapes[name]) for name, scheme in contents.schemes.items()}
    apart = {name: None if dense is None else dense.scheme for name, dense in contents.apart.items()}
    return plan_layout(records, apart, SHARD_BYTES)


def needed_bytes(contents: Contents) -> int:
    """Free space that writing needs, a little more than the artifact will take."""
    return layout_of(contents).nbytes + sum(map(len, contents.side_files.values())) + SMALL_FILES_BYTES


def write_artifact(
    target: Path, contents: Contents, *, overwrite: bool, written: Callable[[str, int], None] | None = None
) -> None:
    """Writes everything under a temporary name and renames it into place.

    `written` is told each weight and its bytes. Errors: ArtifactError (see `staged_directory`), and whatever the
    computation of a weight raises; in each case nothing is left behind and what was there before is intact.
    """
    layout = layout_of(contents)
    with staged_directory(
        target, needed=needed_bytes(contents), overwrite=overwrite, replaceable=is_artifact
    ) as directory:
        _write_weights(directory, contents, layout, written)
        for name, data in {**contents.side_files, **_json_files(contents, layout)}.items():
            _write_small(directory / name, data)
        files = {name: FileRecord(path.stat().st_size, file_sha256(path)) for name, path in sorted(_walk(directory))}
        records = {
            name: WeightRecord(scheme, contents.shapes[name], contents.error(name))
            for name, scheme in contents.schemes.items()
        }
        document = build_document(contents.provenance, records, contents.head, files)
        _write_small(directory / MANIFEST, to_text(document).encode())


def is_artifact(directory: Path) -> bool:
    """Whether a directory was written by this module, and so may be replaced by it."""
    return (directory / MANIFEST).is_file()


def _write_weights(
    directory: Path, contents: Contents, layout: Layout, written: Callable[[str, int], None] | None
) -> None:
    with ExitStack() as stack:

        def writers(*files: WeightFile | None) -> dict[str, SafetensorsWriter]:
            """The writer of each tensor of some files."""
            found: dict[str, SafetensorsWriter] = {}
            for file in files:
                if file is not None:
                    (directory / file.name).parent.mkdir(exist_ok=True)
                    writer = stack.enter_context(SafetensorsWriter(directory / file.name, file.specs, METADATA))
                    found.update(dict.fromkeys((spec.name for spec in file.specs), writer))
            return found

        # A weight may lie in a shard, dense, and in the file of the head under the same name.
        of_shards, of_head, of_minimums = writers(*layout.shards), writers(layout.head), writers(layout.minimums)
        for name, scheme in contents.schemes.items():
            weight = contents.weight(name)
            if scheme_of(weight) != scheme:
                raise TypeError(f"{name} became {scheme_of(weight)}, announced was {scheme}")
            for tensor, values in to_tensors(name, weight).items():
                owners = of_head if name in contents.apart else of_shards
                (of_minimums.get(tensor) or owners[tensor]).write(tensor, values)
            dense = contents.apart.get(name)
            if dense is not None:
                of_shards[name].write(name, dense.weight().values)
            if written is not None:
                written(name, weight.nbytes)


def _write_small(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _json_files(contents: Contents, layout: Layout) -> dict[str, bytes]:
    encoded = {name: contents.schemes[name] for name in contents.schemes if name in contents.linear}
    dense = [name for name, scheme in encoded.items() if isinstance(scheme, DenseScheme)]
    for name in dense:
        del encoded[name]
    config = dict(contents.config)
    if encoded:
        ignored = (*(name.removesuffix(".weight") for name in dense), "lm_head")
        config["quantization_config"] = quantization_config(encoded, dense_modules=ignored)
    head = contents.schemes[contents.head] if contents.head is not None else None
    files = {"config.json": to_text(config), "README.md": model_card(contents.provenance, encoded, head)}
    index = layout.index()
    if index is not None:
        files[INDEX_FILE] = to_text(index)
    return {name: text.encode() for name, text in files.items()}


def _walk(directory: Path) -> Iterator[tuple[str, Path]]:
    for path in directory.rglob("*"):
        if path.is_file():
            yield path.relative_to(directory).as_posix(), path
