"""Mutations of GGUF files field by field, so that what follows a changed field still means what it meant.

The fields are found by a reader of its own, which trusts the file: it is given what the builders wrote.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from fuzzing.byte_mutations import EXTREMES, ODD_TEXT, mutate_bytes

_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_TEXT, _ARRAY = 8, 9


@dataclass
class _Walk:
    """Numbers (offset and width) and texts (offset and length) of a header; whole pairs and directory entries."""

    data: bytes
    at: int = 4
    numbers: list[tuple[int, int]] = field(default_factory=list)
    texts: list[tuple[int, int]] = field(default_factory=list)
    parts: list[tuple[int, int]] = field(default_factory=list)

    def number(self, width: int) -> int:
        value = int.from_bytes(self.data[self.at : self.at + width], "little")
        if self.at + width > len(self.data):
            raise ValueError("the file ends")
        self.numbers.append((self.at, width))
        self.at += width
        return value

    def text(self) -> None:
        length = self.number(8)
        if self.at + length > len(self.data):
            raise ValueError("the file ends")
        self.texts.append((self.at, length))
        self.at += length

    def value(self, kind: int) -> None:
        if kind == _TEXT:
            self.text()
        elif kind == _ARRAY:
            element = self.number(4)
            for _ in range(self.number(8)):
                self.value(element)
        else:
            self.number(_SIZES[kind])


def _walk(data: bytes) -> _Walk:
    walk = _Walk(data)
    walk.number(4)
    tensors, pairs = walk.number(8), walk.number(8)
    for _ in range(pairs):
        begin = walk.at
        walk.text()
        walk.value(walk.number(4))
        walk.parts.append((begin, walk.at))
    for _ in range(tensors):
        begin = walk.at
        walk.text()
        for _ in range(walk.number(4)):
            walk.number(8)
        walk.number(4)
        walk.number(8)
        walk.parts.append((begin, walk.at))
    return walk


def mutate_gguf(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """Numbers to extremes and to their neighbours, texts replaced with their lengths kept right, parts moved."""
    if chance.random() < 0.25:
        return mutate_bytes(data, chance, others)
    for _ in range(chance.choice((1, 1, 2, 3))):
        try:
            walk = _walk(data)
        except (ValueError, KeyError, RecursionError):
            return mutate_bytes(data, chance, others)
        way = chance.random()
        if way < 0.5:
            data = _number(walk, chance)
        elif way < 0.75 and walk.texts:
            data = _text(walk, chance)
        elif walk.parts:
            data = _part(walk, chance)
    return data


def _number(walk: _Walk, chance: random.Random) -> bytes:
    # Few are counts, types and sizes and many are items of arrays: those of the beginning come more often.
    at, width = walk.numbers[int(len(walk.numbers) * chance.random() ** 2)]
    old = int.from_bytes(walk.data[at : at + width], "little")
    near = (old + 1, old - 1, old * 2, chance.randrange(16))
    value = chance.choice(EXTREMES if chance.random() < 0.5 else near)
    if width in (4, 8) and chance.random() < 0.1:
        packed = struct.pack("<f" if width == 4 else "<d", chance.choice((float("nan"), float("inf"), -1.0, 1e30)))
    else:
        packed = struct.pack("<Q", value & ((1 << 64) - 1))[:width]
    return walk.data[:at] + packed + walk.data[at + width :]


def _text(walk: _Walk, chance: random.Random) -> bytes:
    at, length = chance.choice(walk.texts)
    old = walk.data[at : at + length]
    other, size = chance.choice(walk.texts)
    new = chance.choice((b"", old * 2, old[:-1], old + b"x", walk.data[other : other + size], *ODD_TEXT))
    return walk.data[: at - 8] + struct.pack("<Q", len(new)) + new + walk.data[at + length :]


def _part(walk: _Walk, chance: random.Random) -> bytes:
    """A pair or directory entry is repeated, left out or replaced by another, with the counts as they were."""
    begin, end = chance.choice(walk.parts)
    other, rest = chance.choice(walk.parts)
    new = chance.choice((b"", walk.data[begin:end] * 2, walk.data[other:rest]))
    return walk.data[:begin] + new + walk.data[end:]
