"""Certificates kept on disk, so that the same question about the same files is answered without running the models.

A certificate is found by a digest of everything that it depends on: the bytes of both models' files, the text, the
windows, the resampling, how each model is run, the instruction set, and the version of honed with its extension.
Nothing is ever updated in place; a changed file is another certificate.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.checkpoints.download.cache import NoCacheError, cache_directory
from honed.errors import ParameterError
from honed.evaluate.certificate import Certificate


def key(parts: Mapping[str, Any]) -> str:
    """The name under which a certificate is kept: a digest of JSON values that it depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class CertificateStore:
    """Certificates by key in one directory. A damaged or unreadable entry counts as absent."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory if directory is not None else _directory()

    def find(self, name: str) -> Certificate | None:
        """The certificate of a key, if there is one."""
        if self._directory is None:
            return None
        try:
            return Certificate.from_json(json.loads((self._directory / f"{name}.json").read_text()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def keep(self, name: str, certificate: Certificate) -> None:
        """Writes it whole or not at all. A cache that cannot be written is not an error: the result stands."""
        if self._directory is None:
            return
        with contextlib.suppress(OSError):
            write_json(self._directory / f"{name}.json", certificate.to_json())


def _directory() -> Path | None:
    try:
        return cache_directory() / "certificates"
    except NoCacheError:  # there is no place for a cache: nothing is kept
        return None


def check_writable(path: Path) -> None:
    """Makes sure that a file can be written at `path`, before anything is measured for it. ParameterError if not.

    Makes the directory where it is missing. That it stays so is not promised: writing may fail all the same.
    """
    if path.is_dir():
        raise ParameterError("output", str(path), "is a directory; it must be the name of a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(prefix=f".{path.name[:40]}.", dir=path.parent):
            pass
    except OSError as error:
        reason = f"cannot be written: {error.strerror or error}; name another place"
        raise ParameterError("output", str(path), reason) from error


def write_json(path: Path, value: Any) -> None:
    """Writes beside `path` and renames into place, making the directory where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(value, file, indent=2)
            file.write("\n")
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
