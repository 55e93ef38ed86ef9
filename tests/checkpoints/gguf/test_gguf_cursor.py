"""The cursor reads what lies there, in pieces of whatever size, and never past the end."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.checkpoints.gguf import cursor as module
from honed.checkpoints.gguf.cursor import Cursor, FileBytes, MemoryBytes
from honed.errors import FormatError, SourceError

PATH = Path("m.gguf")
TEXTS = st.lists(st.text(max_size=30), max_size=20)


class Pieces:
    """Bytes that remember how much was asked for, and refuse what is not there."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)
        self.most = 0

    def read(self, start: int, length: int) -> bytes:
        assert 0 <= start <= start + length <= self.size
        self.most = max(self.most, length)
        return self.data[start : start + length]


def packed(texts: list[str]) -> bytes:
    return b"".join(struct.pack("<Q", len(text.encode())) + text.encode() for text in texts)


@settings(deadline=None, max_examples=200, derandomize=True)
@given(before=TEXTS, texts=TEXTS, number=st.integers(0, 2**32 - 1), piece=st.integers(1, 90))
def test_texts_and_numbers_across_pieces(before: list[str], texts: list[str], number: int, piece: int) -> None:
    source = Pieces(packed(before) + packed(texts) + struct.pack("<I", number) + b"end")
    saved, module._PIECE = module._PIECE, piece
    try:
        cursor = Cursor(source, PATH)
        cursor.skip_texts(len(before), "before")
        start = cursor.position
        assert start == len(packed(before))
        cursor.skip_texts(len(texts), "texts")
        assert cursor.integer("I", "number") == number
        assert cursor.take(3, "end") == b"end"
        again = Cursor(source, PATH, start)
        assert again.texts(len(texts), "texts") == texts
        assert again.integer("I", "number") == number
        skipping = Cursor(source, PATH)
        skipping.skip(start, "all")
        assert skipping.texts(len(texts), "texts") == texts
        for read in (Cursor.skip_texts, Cursor.texts):
            with pytest.raises(FormatError, match="many"):
                read(Cursor(source, PATH, start), len(texts) + 3, "many")
    finally:
        module._PIECE = saved
    assert source.most <= max(piece, *(len(text.encode()) for text in ["12345678", *before, *texts]))


@settings(deadline=None, max_examples=200, derandomize=True)
@given(st.binary(max_size=80), st.integers(1, 20), st.integers(0, 6))
def test_any_bytes_are_read_or_refused(data: bytes, piece: int, count: int) -> None:
    saved, module._PIECE = module._PIECE, piece
    try:
        found = []
        for read in (Cursor.skip_texts, Cursor.texts):
            cursor = Cursor(Pieces(data), PATH)
            try:
                read(cursor, count, "texts")
                found.append(cursor.position)
            except FormatError as error:
                found.append(-1 if "UTF-8" not in str(error) else -2)
    finally:
        module._PIECE = saved
    assert found[0] == found[1] or found[1] == -2


def test_what_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    for length in (9, 2**63, 2**64 - 1):
        for read in (Cursor.take, Cursor.skip):
            with pytest.raises(FormatError, match=rf"m.gguf: field: needs {length} bytes at byte 0, the file has 8"):
                read(Cursor(MemoryBytes(memoryview(bytes(8))), PATH), length, "field")
    monkeypatch.setattr(module, "MAX_HEADER", 16)
    with pytest.raises(FormatError, match="needs 17 bytes at byte 0, and a header may have 16"):
        Cursor(MemoryBytes(memoryview(bytes(64))), PATH).take(17, "field")


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"0123456789")
    source = FileBytes(path)
    assert (source.size, source.read(3, 4), bytes(source.map())) == (10, b"3456", b"0123456789")
    path.write_bytes(b"01")
    with pytest.raises(FormatError, match=r"x: size: the file was cut short while it was read, at byte 1"):
        source.read(1, 4)
    path.write_bytes(b"")
    with pytest.raises(FormatError, match="the file is empty"):
        FileBytes(path)
    with pytest.raises(SourceError, match="cannot be read: is a directory"):
        FileBytes(tmp_path)
