"""honed.json, the manifest of an artifact: where it comes from, what was done, and a checksum of every file.

Nothing in it depends on the time or place of writing, so equal inputs on one machine give equal bytes. It carries a
checksum of itself. Building and checking only; the directory is written in `writer.py` and read in
`checkpoint.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed import __version__
from honed.checkpoints.json_files import read_object
from honed.encodings.scheme import Scheme, from_json, to_json
from honed.errors import ArtifactError, ParameterError
from honed.records import dataclass

MANIFEST = "honed.json"
FORMAT = "honed-artifact"
FORMAT_VERSION = 1

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
    """How a weight is stored. `relative_error` is that of its encoding against the source, None where it is dense."""

    scheme: Scheme
    shape: tuple[int, ...]
    relative_error: float | None = None


@dataclass(frozen=True)
class Provenance:
    """Everything that the content of an artifact depends on."""

    source: str
    source_kind: str
    source_files: Mapping[str, FileRecord]
    recipe: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    calibration: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Manifest:
    """A checked manifest; `document` is the whole JSON object."""

    weights: Mapping[str, WeightRecord]
    head: str | None
    files: Mapping[str, FileRecord]
    document: Mapping[str, Any]


def build_document(
    provenance: Provenance,
    weights: Mapping[str, WeightRecord],
    head: str | None,
    files: Mapping[str, FileRecord],
) -> dict[str, Any]:
    """The JSON object. `head` names the weight that lies in the file of its own."""
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
        "notes": list(provenance.notes),
        "seed": None,  # no pass draws random numbers
        "calibration": None if provenance.calibration is None else dict(provenance.calibration),
        "versions": {"honed": __version__, "python": platform.python_version(), "numpy": _version("numpy")},
        "machine": {"architecture": platform.machine(), "system": platform.system(), "cpu_flags": cpu_flags()},
        "weights": {
            name: {**to_json(record.scheme), "shape": list(record.shape), "relative_error": record.relative_error}
            for name, record in sorted(weights.items())
        },
        "head": head,
        "files": _records(files),
    }
    return {**document, "checksum": checksum(document)}


def read_manifest(path: Path) -> Manifest:
    """Reads and checks honed.json. ArtifactError where it was changed, is of another version or makes no sense."""
    document = read_object(path)
    if document.get("format") != FORMAT:
        raise ArtifactError(f"{path}: format: is {document.get('format')!r:.60}, must be {FORMAT!r}")
    if document.get("format_version") != FORMAT_VERSION:
        found = document.get("format_version")
        raise ArtifactError(f"{path}: format_version: is {found!r:.60}; this version of honed reads {FORMAT_VERSION}")
    body = {key: value for key, value in document.items() if key != "checksum"}
    if document.get("checksum") != checksum(body):
        raise ArtifactError(f"{path}: checksum: does not match; the file was changed after it was written")
    try:
        weights = {name: _weight_record(value) for name, value in document["weights"].items()}
        files = {
            name: FileRecord(int(value["bytes"]), str(value["sha256"])) for name, value in document["files"].items()
        }
        head = document["head"]
        if head is not None and head not in weights:
            raise ParameterError("head", head, "must name a weight")
    except (KeyError, TypeError, ValueError, AttributeError, ParameterError) as error:
        raise ArtifactError(f"{path}: is not a manifest: {error}") from error
    return Manifest(weights, head, files, document)


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


def _weight_record(value: Mapping[str, Any]) -> WeightRecord:
    shape = tuple(value["shape"])
    if not shape or not all(isinstance(extent, int) and extent > 0 for extent in shape):
        raise ParameterError("shape", value["shape"], "must be a list of positive sizes")
    return WeightRecord(from_json(value), shape, value.get("relative_error"))


def _records(files: Mapping[str, FileRecord]) -> dict[str, Any]:
    return {name: {"bytes": record.nbytes, "sha256": record.sha256} for name, record in sorted(files.items())}


def _version(package: str) -> str | None:
    import importlib.metadata  # costs more to import than a manifest to read

    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
