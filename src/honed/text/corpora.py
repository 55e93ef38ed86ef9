"""Texts to measure quality on: one that every Python carries, or any UTF-8 file.

Calibration data is not chosen here, and nothing is downloaded. Cutting a text into windows is `evaluate/windows.py`.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from honed.errors import FormatError, SourceError, UnsupportedError
from honed.regular_files import open_regular, refuse_pointer

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
    """A UTF-8 file. SourceError where it is no regular file or cannot be read, UnsupportedError where it is too large,
    FormatError where it is empty or not text."""
    with open_regular(path) as file:
        try:
            size = os.fstat(file.fileno()).st_size
            data = b"" if size > MAX_BYTES else file.read(MAX_BYTES + 1)
        except OSError as error:
            raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from None
    if max(size, len(data)) > MAX_BYTES:
        shown = max(size, len(data))
        raise UnsupportedError(f"{path}: text of {shown} bytes; at most {MAX_BYTES} are taken, so pass a part of it")
    refuse_pointer(data, path, pages=False)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(path, f"byte {error.start}", "is not UTF-8; the text must be a UTF-8 file") from error
    if "\0" in text:
        raise FormatError(path, f"character {text.index(chr(0))}", "is NUL: a binary file, not a text")
    if not text.strip():
        raise FormatError(path, "text", "is empty; prose of a few thousand tokens is needed")
    return Corpus(path.name, text)
