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

from honed.checkpoints.artifact.envelope import Replaces
from honed.checkpoints.artifact.layout import INDEX_FILE, METADATA, SHARD_BYTES, Layout, WeightFile, plan_layout
from honed.checkpoints.artifact.manifest import MANIFEST, FileRecord, Provenance, WeightRecord, build_document, to_text
from honed.checkpoints.artifact.model_card import model_card
from honed.checkpoints.artifact.staging import staged_directory
from honed.checkpoints.compressed_tensors.declare import foreign_scheme, quantization_config
from honed.checkpoints.compressed_tensors.format import to_tensors, zero_point_tensors
from honed.checkpoints.content_hash import file_sha256
from honed.checkpoints.safetensors.writer import SafetensorsWriter
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.encodings.scheme import DenseScheme, Scheme, becomes, scheme_of
from honed.models.encoder_heads import head_kind
from honed.models.factored import FACTORS_FIELD
from honed.models.registry import FAMILIES

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
    encoded, and `tied` says that it is the embedding table too; `linear` are the weights of linear layers beside it.
    `dense_forms`: of a portable artifact, what other tools read in place of the encoded head and of what fits it alone.
    `weight` computes one weight as this project reads it, and `error` gives the relative error of one that has been
    computed, None for a dense one. `side_files` are the tokenizer's and the like.
    """

    config: Mapping[str, Any]
    schemes: Mapping[str, Scheme]
    shapes: Mapping[str, tuple[int, ...]]
    linear: Set[str]
    head: str | None
    tied: bool
    dense_forms: Mapping[str, DenseForm]
    weight: Callable[[str], Encoded]
    error: Callable[[str], float | None]
    side_files: Mapping[str, bytes]
    provenance: Provenance
    own_names: bool = False
    """Whether other tools hold the weights of this family otherwise, so that none of them finds these."""

    @property
    def factored(self) -> int:
        """How many linear layers are products of two, which no other tool looks for either."""
        return sum(len(group["weights"]) for group in self.config.get(FACTORS_FIELD, ()))

    @property
    def tied_table(self) -> str | None:
        """The table among the weights that is the head at once."""
        return self.head if self.tied else None

    def record(self, name: str, scheme: Scheme | None = None) -> WeightRecord:
        """`scheme`: what the weight has become, where more is known of that than was announced."""
        return WeightRecord(
            scheme or self.schemes[name], self.shapes[name], self.error(name), tied_table=name == self.tied_table
        )


def layout_of(contents: Contents) -> Layout:
    records = {name: contents.record(name) for name in contents.schemes}
    dense_forms = {name: form.scheme for name, form in contents.dense_forms.items()}
    return plan_layout(records, dense_forms, portable=contents.provenance.portable, shard_bytes=SHARD_BYTES)


def needed_bytes(contents: Contents) -> int:
    """Free space that writing needs, a little more than the artifact will take."""
    return layout_of(contents).nbytes + sum(map(len, contents.side_files.values())) + SMALL_FILES_BYTES


def write_artifact(
    target: Path,
    contents: Contents,
    *,
    replaces: Replaces,
    check: Callable[[Path], None],
    written: Callable[[str, int], None] | None = None,
    notes: Callable[[str], None],
) -> None:
    """Writes everything under a temporary name and renames it into place.

    `check` is given the directory when it is complete and not yet in its place, `written` each weight and its bytes,
    `notes` what `staged_directory` has to say. Errors: ArtifactError and MachineError (see there), and whatever `check`
    or the computation of a weight raises; in each case nothing is left behind and what was there before is intact.
    """
    layout = layout_of(contents)
    with staged_directory(target, needed=needed_bytes(contents), replaces=replaces, notes=notes) as directory:
        became = _write_weights(directory, contents, layout, written)
        for name, data in {**contents.side_files, **_json_files(contents, layout)}.items():
            _write_small(directory / name, data)
        files = {name: FileRecord(path.stat().st_size, file_sha256(path)) for name, path in sorted(_walk(directory))}
        records = {name: contents.record(name, scheme) for name, scheme in became.items()}
        document = build_document(contents.provenance, records, contents.head, files)
        _write_small(directory / MANIFEST, to_text(document).encode())
        check(directory)


def _write_weights(
    directory: Path, contents: Contents, layout: Layout, written: Callable[[str, int], None] | None
) -> dict[str, Scheme]:
    """What each weight has become."""
    became: dict[str, Scheme] = {}
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

        # Of a portable artifact a weight may lie in a shard, dense, and in the file of the head under the same name.
        of_shards, of_head, of_minimums = writers(*layout.shards), writers(layout.head), writers(layout.minimums)
        for name, scheme in contents.schemes.items():
            weight = contents.weight(name)
            became[name] = scheme_of(weight)
            if not becomes(scheme, became[name]):
                raise TypeError(f"{name} became {scheme_of(weight)}, announced was {scheme}")
            dense, own = contents.dense_forms.get(name), to_tensors(name, weight)
            for tensor, values in own.items():
                owners = of_shards if dense is None else of_head
                (of_minimums.get(tensor) or owners[tensor]).write(tensor, values)
            if dense is not None:
                of_shards[name].write(name, dense.weight().values)
            elif of_minimums.keys() & own.keys():
                for tensor, values in zero_point_tensors(name, weight).items():
                    of_shards[tensor].write(tensor, values)
            if written is not None:
                written(name, weight.nbytes)
    return became


def _write_small(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _json_files(contents: Contents, layout: Layout) -> dict[str, bytes]:
    layers = {name: scheme for name, scheme in contents.schemes.items() if name in contents.linear}
    dense = [name.removesuffix(".weight") for name, scheme in layers.items() if isinstance(scheme, DenseScheme)]
    encoded: dict[str, Scheme] = {name: it for name, it in layers.items() if not isinstance(it, DenseScheme)}
    head = None if contents.head is None else contents.schemes[contents.head]
    declared = encoded
    if contents.provenance.portable:
        declared = {name: foreign_scheme(scheme) for name, scheme in encoded.items()}
    elif contents.head is not None and head is not None:
        declared = {**encoded, contents.head: head}
    config = dict(contents.config)
    alone = contents.own_names or contents.factored > 0
    if declared or alone:
        ignored = dense if contents.head in declared and not contents.tied else [*dense, _head_module(contents.config)]
        config["quantization_config"] = quantization_config(
            {each: scheme for name, scheme in declared.items() for each in _modules(name, contents.config)},
            dense_modules=tuple(each for name in ignored for each in _modules(name, contents.config)),
            tied_table=contents.tied_table,
            own_names=alone,
        )
    card = model_card(
        contents.provenance,
        encoded,
        head,
        tied=contents.tied,
        own_names=contents.own_names,
        factored=contents.factored,
    )
    files = {"config.json": to_text(config), "README.md": card}
    index = layout.index()
    if index is not None:
        files[INDEX_FILE] = to_text(index)
    return {name: text.encode() for name, text in files.items()}


def _head_module(config: Mapping[str, Any]) -> str:
    """What other tools call the layer that gives a vocabulary, where it is another weight for them than for honed."""
    family = FAMILIES.get(str(config.get("model_type")))
    return "lm_head" if family is None or family.decoder is None else family.decoder


def _modules(name: str, config: Mapping[str, Any]) -> tuple[str, ...]:
    """What a module is called. In the class of an encoder with a head the encoder's stand behind a name of its own."""
    family = FAMILIES.get(str(config.get("model_type")))
    if family is None or not family.heads or head_kind(config) is None or family.table.startswith(family.base):
        return (name,)
    return name, family.base + name


def _walk(directory: Path) -> Iterator[tuple[str, Path]]:
    for path in directory.rglob("*"):
        if path.is_file():
            yield path.relative_to(directory).as_posix(), path
