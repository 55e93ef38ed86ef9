"""Names beside and inside an artifact: the hidden siblings of its directory, and which of its files are documents."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

CERTIFICATE = "certificate.json"
"""What `honed eval --record` leaves in an artifact."""
_LONG = 180
"""Bytes of a name that still leave room, of the 255 that file systems allow, for what a sibling's name has more."""
_DOCUMENT = re.compile(
    r"(readme|licen[cs]e|notice|copying|authors|citation|changelog)([-_. ][\w .+-]*)?", re.IGNORECASE
)
_READ = (".json", ".safetensors", ".jinja", ".model", ".gguf", ".py", ".bin", ".pt")
_GIT = (".gitattributes", ".gitignore")


def sibling(target: Path, role: str) -> Path:
    """The hidden sibling `.NAME.ROLE`, of a long name its beginning and a digest."""
    name = os.fsencode(target.name)
    if len(name) > _LONG:
        name = name[: _LONG - 17] + b"-" + hashlib.sha256(name).hexdigest()[:16].encode()
    return target.parent / f".{os.fsdecode(name)}.{role}"


def is_document(name: str) -> bool:
    """Whether a file, by its path within the artifact, is for people and no part of the model.

    README, LICENSE and their like, .md, and what git keeps beside them; in no folder, and nothing that a reader of
    models would read.
    """
    if "/" in name or name.lower().endswith(_READ):
        return False
    return name in _GIT or name.lower().endswith(".md") or _DOCUMENT.fullmatch(name) is not None
