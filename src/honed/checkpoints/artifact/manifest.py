"""honed.json, the manifest of an artifact: where it comes from, what was done, and a checksum of every file.

Nothing in it depends on the time or place of writing, so equal inputs on one machine give equal bytes. It carries a
checksum of itself. Documents (README, licences) are no part of the model and have no say in whether it loads: what
honed wrote of them is noted apart, so that it can be told from what a user did. Building and checking only; the
directory is written in `writer.py` and read in `checkpoint.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from honed.checkpoints.artifact.fields import Field, Reader
from honed.checkpoints.artifact.names import is_document
from honed.checkpoints.json_files import read_object
from honed.encodings.scheme import DenseScheme, Scheme, from_json, to_json
from honed.errors import ArtifactError, ParameterError, quoted
from honed.records import dataclass
from honed.version import __version__

MANIFEST = "honed.json"
FORMAT = "honed-artifact"
FORMAT_VERSION = 2
_READ_VERSIONS = (1, 2)
"""In version 1 a tied head lay beside a dense table, as `lm_head.weight`, and every artifact was portable."""

# The instruction sets that change which kernels run.
_X86_FLAGS = ("avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni")
_AMX_FLAGS = ("avx512_bf16", "amx_tile", "amx_int8", "amx_bf16")
_ARM_FLAGS = ("asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve")
_CPU_FLAGS = frozenset((*_X86_FLAGS, *_AMX_FLAGS, *_ARM_FLAGS))


@dataclass(frozen=True)
class FileRecord:
    """What a file must be: its size and SHA-256."""

    nbytes: int
    sha256: str


@dataclass(frozen=True)
class WeightRecord:
    """How a weight is stored. `relative_error` is that of its encoding against the source, None where it is dense.

    `tied_table`: it is the embedding table and the head at once (`encodings/tied_table.py`).
    """

    scheme: Scheme
    shape: tuple[int, ...]
    relative_error: float | None = None
    tied_table: bool = False


@dataclass(frozen=True)
class Provenance:
    """Everything that the content of an artifact depends on. `portable`: what other tools need is there as well."""

    source: str
    source_kind: str
    source_files: Mapping[str, FileRecord]
    recipe: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    calibration: Mapping[str, Any] | None = None
    portable: bool = False


@dataclass(frozen=True)
class Manifest:
    """A checked manifest; `document` is the whole JSON object. `documents` are for people, and may be others now.

    `head` names the head where it is encoded: the tied table, or a weight apart from the table. Of a portable artifact
    it lies in a file of ours, with what fits it alone, and the dense form for other tools in theirs.
    """

    weights: Mapping[str, WeightRecord]
    head: str | None
    portable: bool
    files: Mapping[str, FileRecord]
    documents: Mapping[str, FileRecord]
    document: Mapping[str, Any]


def build_document(
    provenance: Provenance,
    weights: Mapping[str, WeightRecord],
    head: str | None,
    files: Mapping[str, FileRecord],
) -> dict[str, Any]:
    """The JSON object. `head` names the head if it is encoded; `files` are all that were written."""
    import platform  # nothing that only reads needs it

    document: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "source": {
            "name": provenance.source,
            "kind": provenance.source_kind,
            "files": _records(provenance.source_files),
        },
        "recipe": dict(provenance.recipe),
        "portable": provenance.portable,
        "notes": list(provenance.notes),
        "seed": None,  # no pass draws random numbers
        "calibration": None if provenance.calibration is None else dict(provenance.calibration),
        "versions": {"honed": __version__, "python": platform.python_version(), "numpy": _version("numpy")},
        "machine": {"architecture": platform.machine(), "system": platform.system(), "cpu_flags": cpu_flags()},
        "weights": {
            name: {
                **to_json(record.scheme),
                "shape": list(record.shape),
                "relative_error": record.relative_error,
                **({"tied_table": True} if record.tied_table else {}),
            }
            for name, record in sorted(weights.items())
        },
        "head": head,
        "files": _records({name: record for name, record in files.items() if not is_document(name)}),
        "documents": _records({name: record for name, record in files.items() if is_document(name)}),
    }
    return {**document, "checksum": checksum(document)}


def read_manifest(path: Path) -> Manifest:
    """Reads and checks honed.json. ArtifactError where it was changed, is of another version or makes no sense."""
    document = read_object(path)
    if document.get("format") != FORMAT:
        raise ArtifactError(f"{path}: format: is {quoted(document.get('format'))}, must be {FORMAT!r}")
    version = document.get("format_version")
    if type(version) is not int or version not in _READ_VERSIONS:
        read = " and ".join(map(str, _READ_VERSIONS))
        raise ArtifactError(f"{path}: format_version: is {quoted(version)}; this version of honed reads {read}")
    body = {key: value for key, value in document.items() if key != "checksum"}
    try:
        matches = document.get("checksum") == checksum(body)
    except RecursionError:
        raise ArtifactError(f"{path}: is nested too deeply") from None
    if not matches:
        raise ArtifactError(f"{path}: checksum: does not match; the file was changed after it was written")
    return _checked(Reader(path), document)


def _checked(read: Reader, document: Mapping[str, Any]) -> Manifest:
    given = read.mapping("weights", read.get(document, "weights"))
    weights = {read.text("weights", name): _weight_record(read, name, value) for name, value in given.items()}
    head = read.get(document, "head")
    if head is not None and (not isinstance(head, str) or head not in weights):
        raise read.wrong("head", head, "null or the name of a weight")
    tied = [name for name, record in weights.items() if record.tied_table]
    if tied not in ([], [head]):
        raise read.wrong("head", head, f"{quoted(tied[0])}, which is the tied table")
    portable = document["format_version"] == 1 or read.boolean("portable", read.get(document, "portable"))
    listed = _file_records(read, "files", read.get(document, "files"))
    documents = _file_records(read, "documents", document.get("documents", {}))
    # Versions before 0.2 listed them among the others.
    documents = {name: record for name, record in {**listed, **documents}.items() if is_document(name)}
    source = read.mapping("source", read.get(document, "source"))
    for field in ("name", "kind"):
        read.text(f"source.{field}", source.get(field))
    _file_records(read, "source.files", source.get("files"), read.text)
    for field in ("recipe", "versions", "machine"):
        read.mapping(field, read.get(document, field))
    read.text("versions.honed", document["versions"].get("honed"))
    read.texts("notes", read.get(document, "notes"))
    if document.get("calibration") is not None:
        read.mapping("calibration", document["calibration"])
    files = {name: record for name, record in listed.items() if not is_document(name)}
    return Manifest(weights, head, portable, files, documents, document)


def checksum(document: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of an object: sorted keys, no spaces."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def to_text(document: Mapping[str, Any]) -> str:
    """The bytes of a JSON file of an artifact."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def cpu_flags() -> list[str]:
    """The instruction sets of this machine that matter here, as Linux names them; empty where it does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return sorted(_CPU_FLAGS.intersection(value.split()))
    return []


def _weight_record(read: Reader, name: str, value: object) -> WeightRecord:
    field = ("weights", name)
    given = read.mapping(field, value)
    try:
        scheme = from_json(given)
    except ParameterError as error:
        raise ArtifactError(f"{read.path}: weights: {quoted(name)}: {error}") from None
    except (TypeError, ValueError, OverflowError):  # values of types that no comparison was made for
        raise read.wrong(field, given, "an encoding") from None
    shape = read.shape((*field, "shape"), given.get("shape"), matrix=not isinstance(scheme, DenseScheme))
    relative_error = read.error((*field, "relative_error"), given.get("relative_error"))
    tied_table = read.boolean((*field, "tied_table"), given.get("tied_table", False))
    if tied_table and isinstance(scheme, DenseScheme):
        raise read.wrong((*field, "tied_table"), tied_table, "false for a dense weight, which needs no factors")
    return WeightRecord(scheme, shape, relative_error, tied_table)


def _file_records(
    read: Reader, field: str, value: object, name_of: Callable[[Field, str], str] | None = None
) -> dict[str, FileRecord]:
    """Names are those of files of the directory, or what `name_of` takes."""
    found: dict[str, FileRecord] = {}
    for name, given in read.mapping(field, value).items():
        where = (field, (name_of or read.file_name)(field, name))
        record = read.mapping(where, given)
        found[name] = FileRecord(
            read.count((*where, "bytes"), record.get("bytes")), read.sha256((*where, "sha256"), record.get("sha256"))
        )
    return found


def _records(files: Mapping[str, FileRecord]) -> dict[str, Any]:
    return {name: {"bytes": record.nbytes, "sha256": record.sha256} for name, record in sorted(files.items())}


def _version(package: str) -> str | None:
    import importlib.metadata  # costs more to import than a manifest to read

    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
