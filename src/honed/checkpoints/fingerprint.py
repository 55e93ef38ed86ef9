"""What identifies the files of a checkpoint.

Only contents count: a model that is moved or downloaded again keeps its fingerprint, a changed byte gives another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

_CHUNK = 1 << 20

# Results about a model that are kept beside it; no loader reads them.
_RESULTS = frozenset({"certificate.json"})


def fingerprint(path: Path, weight_files: Iterable[Path]) -> str:
    """SHA-256 over the names and contents of the weight files and, for a directory, of the configuration, tokenizer
    and template files in it."""
    files = {file.resolve(): file.name for file in weight_files}
    if path.is_dir():
        for pattern in ("*.json", "*.jinja", "*.model", "*.txt"):
            files.update({file.resolve(): file.name for file in path.glob(pattern) if file.name not in _RESULTS})
    digest = hashlib.sha256()
    for file, name in sorted(files.items(), key=lambda item: (item[1], str(item[0]))):
        digest.update(f"{len(name)}:{name}:{file_sha256(file)}\n".encode())
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """Hex digest of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
    return digest.hexdigest()
