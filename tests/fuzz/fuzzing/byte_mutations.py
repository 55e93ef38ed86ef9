"""Mutations of bytes whose format is not known."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

EXTREMES: tuple[int, ...] = (
    0,
    1,
    2,
    3,
    7,
    0x7F,
    0x80,
    0xFF,
    0xFFFF,
    1 << 24,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 32,
    1 << 40,
)
EXTREMES += (1 << 53, 1 << 61, (1 << 62) - 1, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
"""Counts, lengths and offsets at which arithmetic of some width goes wrong."""
ODD_TEXT = (
    b"\x00",
    b"\x1b[2J",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    "\u202e".encode(),
    b"../" * 8,
    b"\r\n",
    b"%s%n",
    b"A" * 5000,
)


def mutate_bytes(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """One to four changes: bits, numbers, cuts, repeats, and parts of other inputs."""
    mutated = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        mutated = bytearray(chance.choice(_WAYS)(mutated, chance, others))
    return bytes(mutated)


def _flip(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> bytearray:
    for _ in range(chance.choice((1, 1, 1, 8))):
        if data:
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return data


def _number(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> bytearray:
    """A little-endian integer of some width becomes an extreme, or almost what it was."""
    width = chance.choice((1, 2, 4, 8))
    if len(data) < width:
        return data
    at = chance.randrange(len(data) - width + 1)
    if chance.random() < 0.5:
        value = chance.choice(EXTREMES)
    else:
        value = int.from_bytes(data[at : at + width], "little") + chance.choice((-8, -1, 1, 8))
    data[at : at + width] = struct.pack("<Q", value & ((1 << 64) - 1))[:width]
    return data


def _cut(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> bytearray:
    return data[: chance.randrange(len(data) + 1)]


def _remove(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> bytearray:
    begin, end = _range(data, chance)
    return data[:begin] + data[end:]


def _repeat(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> bytearray:
    begin, end = _range(data, chance)
    return data[:begin] + data[begin:end] * chance.choice((2, 2, 3, 20)) + data[end:]


def _splice(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> bytearray:
    other = chance.choice(others) if others else bytes(data)
    begin, end = _range(other, chance)
    at, rest = _range(data, chance)
    return data[:at] + other[begin:end] + data[rest:]


def _insert(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> bytearray:
    at = chance.randrange(len(data) + 1)
    return data[:at] + chance.choice(ODD_TEXT) + data[at:]


def _range(data: bytes | bytearray, chance: random.Random) -> tuple[int, int]:
    begin = chance.randrange(len(data) + 1)
    return begin, min(len(data), begin + chance.choice((1, 4, 16, 64, 1024)))


_WAYS = (_flip, _flip, _number, _number, _number, _cut, _remove, _repeat, _splice, _insert)
