from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from honed.errors import FormatError, SourceError, UnsupportedError
from honed.text import corpora
from honed.text.corpora import python_topics, read_text


def test_default_text_is_long_and_stable() -> None:
    corpus = python_topics()
    assert corpus.text == python_topics().text
    assert len(corpus.text) > 300_000
    assert "The ``if`` statement" in corpus.text or 'The "if" statement' in corpus.text
    assert corpus.sha256 == hashlib.sha256(corpus.text.encode()).hexdigest()


def test_file_is_read_as_it_is_without_its_mark(tmp_path: Path) -> None:
    path = tmp_path / "prose.txt"
    path.write_bytes(b"\xef\xbb\xbfGr\xc3\xbc\xc3\x9fe\r\nand more")
    corpus = read_text(path)
    assert corpus.text == "Grüße\r\nand more"
    assert corpus.name == "prose.txt"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n\t", "is empty"),
        (b"text\0text", "character 4"),
        (b"good\xff", "byte 4"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=message):
        read_text(path)


def test_missing_file_and_directory(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere\.txt"):
        read_text(tmp_path / "nowhere.txt")
    with pytest.raises(SourceError, match="is a directory"):
        read_text(tmp_path)


@pytest.mark.timeout(20)
def test_what_never_ends_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="pipe: cannot be read: is a named pipe"):
        read_text(tmp_path / "pipe")
    with pytest.raises(SourceError, match="/dev/zero: cannot be read: is a device"):
        read_text(Path("/dev/zero"))


def test_pages_are_texts_and_pointers_are_none(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html>a text</html>")
    assert read_text(tmp_path / "page.html").text == "<html>a text</html>"
    (tmp_path / "pointer").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(SourceError, match="is a Git LFS pointer"):
        read_text(tmp_path / "pointer")


def test_oversized_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpora, "MAX_BYTES", 10)
    path = tmp_path / "long.txt"
    path.write_text("eleven char")
    with pytest.raises(UnsupportedError, match="at most 10"):
        read_text(path)
