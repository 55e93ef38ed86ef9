"""Reads an artifact: the weights in their encodings, checked against the manifest.

Opening reads headers and small files; the large files are hashed on threads of their own while the caller loads,
and `verify` waits for them. Call it before the first result leaves the process. Files that were hashed before and have
not changed since are not hashed again (`checked_before.py`). Directories that other tools compressed are not artifacts:
`compressed_tensors/`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honed.checkpoints.artifact.checked_before import VerifiedState
from honed.checkpoints.artifact.layout import HEAD_FILE, MINIMUMS_FILE, foreign_specs, minimum_specs, own_specs
from honed.checkpoints.artifact.manifest import MANIFEST, FileRecord, Manifest, read_manifest
from honed.checkpoints.base import Kind
from honed.checkpoints.config_against_weights import check_consistency
from honed.checkpoints.content_hash import file_sha256
from honed.checkpoints.huggingface.directory import CONFIG, INDEX, SINGLE, Directory
from honed.checkpoints.members import find_member
from honed.checkpoints.safetensors.reader import SafetensorsFile
from honed.encodings.base import Encoded
from honed.encodings.dense import MappedDense
from honed.encodings.scheme import DenseScheme, Scheme
from honed.encodings.tied_table import TiedTable, factors_part
from honed.errors import ArtifactError, HonedError, SourceError
from honed.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from numpy.typing import NDArray


TOKENIZER = "tokenizer.json"
_SMALL = 1 << 20


class Artifact:
    """A directory with a honed.json. Weights are mapped, and packed codes are unpacked at each access.

    Only files that the manifest lists are read, whatever else lies in the directory. Errors on opening: ArtifactError
    where the list lacks a file that is needed, where one is missing, has another size, or (small files) other bytes
    than the manifest says; FormatError where files and manifest describe different weights.
    """

    def __init__(self, path: Path, *, remembers: bool = True) -> None:
        """`remembers`: whether a later start may know that the files were found to be right."""
        find_member(path, MANIFEST)  # where it is a link, it must be one that is followed
        self._manifest: Manifest = read_manifest(path / MANIFEST)
        _check_listed(path, self._manifest)
        large = _check_files(path, self._manifest.files)
        self._state = VerifiedState(path, large) if remembers else None
        known = self._state is not None and self._state.is_known()
        self._hashes = [] if known else [_Hash(path / name, record) for name, record in large.items()]
        directory = _open_listed(path, self._manifest)
        self._directory = directory
        own = {name: SafetensorsFile(_member(directory, name)) for name in _own_files(self._manifest)}
        self._head, self._minimums = own.get(HEAD_FILE), own.get(MINIMUMS_FILE)
        self._check_tensors()
        self._names = tuple(name for name in self._manifest.weights if name != self._head_beside_its_table())
        shapes = {name: self._manifest.weights[name].shape for name in self._names}
        check_consistency(self.config, directory.config_path, shapes, path)

    @property
    def kind(self) -> Kind:
        return "artifact"

    @property
    def path(self) -> Path:
        return self._directory.path

    @property
    def config(self) -> Mapping[str, Any]:
        """As other tools see it, `quantization_config` included."""
        return self._directory.config

    @property
    def files(self) -> tuple[Path, ...]:
        own = tuple(file.path for file in (self._head, self._minimums) if file is not None)
        return (*self._directory.files, *own)

    @property
    def names(self) -> tuple[str, ...]:
        return self._names

    @property
    def manifest(self) -> Mapping[str, Any]:
        """The whole of honed.json: source, recipe, versions, weights, checksums."""
        return self._manifest.document

    def weight(self, name: str) -> Encoded:
        """A weight as it is encoded; an untied head in its own encoding, and a norm as it fits the encoded head.

        Unknown name: KeyError.
        """
        if name not in self.names:
            raise KeyError(name)
        return self._read(name)

    def head(self) -> Encoded | None:
        """The encoded head. None where it is not encoded, so that it is `lm_head.weight` or the embedding."""
        head = None if self._manifest.head is None else self._read(self._manifest.head)
        return head.head if isinstance(head, TiedTable) else head

    def lists(self, name: str) -> bool:
        return name in self._manifest.files

    def tokenizer(self) -> Tokenizer:
        from honed.checkpoints.huggingface.tokenizer import read_tokenizer

        return read_tokenizer(self._directory)

    def give_back(self) -> None:
        self._directory.give_back()
        for file in (self._head, self._minimums):
            if file is not None:
                file.give_back()

    def verify(self) -> None:
        """Waits for the checksums of the large files. ArtifactError names the first file that was changed."""
        if self._hashes:
            for pending in self._hashes:
                pending.check()
            self._hashes = []
            if self._state is not None:
                self._state.remember()

    def scheme(self, name: str) -> Scheme:
        """The encoding of a weight, that of a tied head under its own name too. Unknown name: KeyError."""
        return self._manifest.weights[name].scheme

    def head_scheme(self) -> Scheme | None:
        """The encoding of `head`."""
        return None if self._manifest.head is None else self.scheme(self._manifest.head)

    def _read(self, name: str) -> Encoded:
        record = self._manifest.weights[name]
        if isinstance(record.scheme, DenseScheme):
            own = self._own_file(name)
            stored = self._directory.stored(name) if own is None else own.stored(name)
            return MappedDense(stored, record.scheme.dtype, record.shape)

        def read(suffix: str) -> NDArray[Any]:
            tensor = name + suffix
            own = self._own_file(tensor)
            return self._directory.tensor(tensor) if own is None else own.tensor(tensor)

        encoded = record.scheme.read(record.shape, read)
        return TiedTable(encoded, read(factors_part(record.shape).suffix)) if record.tied_table else encoded

    def _head_beside_its_table(self) -> str | None:
        """The name of a tied head that is a weight of its own, as version 1 has it: no name of a model."""
        head = self._manifest.head
        if head is None or not self._manifest.portable or self._manifest.weights[head].tied_table:
            return None
        return None if head in self._directory.names else head

    def _own_file(self, tensor: str) -> SafetensorsFile | None:
        """The file of ours in which a tensor lies; None for those that are in the files of every tool alone."""
        return next((file for file in (self._minimums, self._head) if file and tensor in file.entries), None)

    def _check_tensors(self) -> None:
        """Every tensor has the type and shape that the manifest implies."""
        records, head = self._manifest.weights, self._manifest.head
        expected = [spec for name, record in records.items() for spec in own_specs(name, record)]
        if self._manifest.portable:
            foreign = (foreign_specs(name, record) for name, record in records.items() if name != head)
            expected += [spec for specs in foreign for spec in specs]
        for spec in dict.fromkeys(expected):
            own = self._own_file(spec.name)
            try:
                entry = self._directory.entry(spec.name) if own is None else own.entries[spec.name]
            except KeyError:
                raise ArtifactError(f"{self.path}: {spec.name}: is in {MANIFEST} but in no weight file") from None
            if (entry.dtype, entry.shape) != (spec.dtype, spec.shape):
                raise ArtifactError(
                    f"{self.path}: {spec.name}: is {entry.dtype} {entry.shape}, "
                    f"{MANIFEST} implies {spec.dtype} {spec.shape}"
                )


class _Hash:
    """The checksum of one file, computed on a thread (hashing lets other threads run)."""

    def __init__(self, path: Path, record: FileRecord) -> None:
        self._path, self._record = path, record
        self._error: HonedError | None = None
        self._thread = threading.Thread(target=self._run, name=f"hash {path.name}", daemon=True)
        self._thread.start()

    def check(self) -> None:
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            _check_hash(self._path, self._record)
        except ArtifactError as error:
            self._error = error


def _check_listed(path: Path, manifest: Manifest) -> None:
    """The list names what no artifact is without."""
    needed = [CONFIG, TOKENIZER, INDEX if INDEX in manifest.files else SINGLE]
    for name in (*needed, *_own_files(manifest)):
        if name not in manifest.files:
            raise ArtifactError(f"{path / MANIFEST}: files: {name} is not listed, and only what is listed is read")


def _open_listed(path: Path, manifest: Manifest) -> Directory:
    try:
        return Directory(path, frozenset(manifest.files))
    except SourceError as error:
        raise ArtifactError(f"{error}; of an artifact only what {MANIFEST} lists is read") from None


def _check_files(path: Path, files: Mapping[str, FileRecord]) -> dict[str, FileRecord]:
    """Checks that all files are there in their sizes, and the bytes of small ones; returns the large ones."""
    large: dict[str, FileRecord] = {}
    for name, record in files.items():
        file = find_member(path, name)
        if file is None:
            raise ArtifactError(f"{path / name}: is missing; {MANIFEST} lists it")
        try:
            size = file.stat().st_size
        except OSError as error:
            raise ArtifactError(f"{file}: cannot be read: {error.strerror or error}") from None
        if size != record.nbytes:
            raise ArtifactError(f"{file}: has {size} bytes, {MANIFEST} says {record.nbytes}")
        if size > _SMALL:
            large[name] = record
        else:
            _check_hash(file, record)
    return large


def _check_hash(path: Path, record: FileRecord) -> None:
    try:
        found = file_sha256(path)
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read: {error.strerror or error}") from None
    if found != record.sha256:
        raise ArtifactError(
            f"{path}: SHA-256 is {found}, {MANIFEST} says {record.sha256}: the file is damaged or changed"
        )


def _own_files(manifest: Manifest) -> tuple[str, ...]:
    """The weight files that only this project reads."""
    if not manifest.portable:
        return ()
    minimums = any(minimum_specs(name, record) for name, record in manifest.weights.items())
    return (*((HEAD_FILE,) if manifest.head is not None else ()), *((MINIMUMS_FILE,) if minimums else ()))


def _member(directory: Directory, name: str) -> Path:
    path = directory.member(name)
    if path is None:
        raise ArtifactError(f"{directory.path / name}: is missing; {MANIFEST} describes weights that lie there")
    return path
