"""Texts to measure quality on: one that every Python carries, or any UTF-8 file.

Calibration data is not chosen here, and nothing is downloaded. Cutting a text into windows is `evaluate/windows.py`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from honed.errors import FormatError, SourceError, UnsupportedError

MAX_BYTES = 32 << 20
"""A larger text is refused: the windows are a few thousand tokens, and all of it is tokenized to place them."""

PYTHON_TOPICS = "python-topics"


@dataclass(frozen=True)
class Corpus:
    """A text and the name it is reported under."""

    name: str
    text: str

    @property
    def sha256(self) -> str:
        """Hex digest of the UTF-8 text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def python_topics() -> Corpus:
    """The reference topics of the running CPython (`pydoc_data.topics`), sorted by name, with a blank line between.

    About 450 kB of English prose about a programming language. It differs a little from one Python release to the
    next, which is why a certificate names the SHA-256 of its text.
    """
    from pydoc_data.topics import topics

    return Corpus(PYTHON_TOPICS, "\n\n".join(topics[name] for name in sorted(topics)))


def read_text(path: Path) -> Corpus:
    """A UTF-8 file. SourceError where it cannot be read, FormatError where it is empty or not text."""
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise SourceError(f"{path}: is a directory; the text must be one UTF-8 file")
        if size > MAX_BYTES:
            raise UnsupportedError(f"{path}: text of {size} bytes; at most {MAX_BYTES} are taken, so pass a part of it")
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path}: the text cannot be read: {error.strerror or error}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(path, f"byte {error.start}", "is not UTF-8; the text must be a UTF-8 file") from error
    if "\0" in text:
        raise FormatError(path, f"character {text.index(chr(0))}", "is NUL: a binary file, not a text")
    if not text.strip():
        raise FormatError(path, "text", "is empty; prose of a few thousand tokens is needed")
    return Corpus(path.name, text)
