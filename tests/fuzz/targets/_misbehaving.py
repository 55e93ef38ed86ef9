"""Does what its input says: what the engine's own tests look for. Not among the targets that are searched."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from fuzzing.byte_mutations import mutate_bytes
from fuzzing.target import Limits, Target
from honed.errors import HonedError


def read(data: bytes, folder: Path) -> None:
    match data:
        case b"refuse":
            raise HonedError("no")
        case b"raise":
            raise KeyError("a fault")
        case b"abort":
            os.abort()
        case b"hang":
            time.sleep(60)
        case b"compute":
            until = time.process_time() + 0.6
            while time.process_time() < until:
                pass
        case b"endless":
            while True:
                pass
        case b"take":
            bytearray(b"x") * (80 << 20)
        case b"flood":
            bytearray(b"x") * (4 << 30)
        case b"write":
            (folder / "left").write_bytes(data)
        case b"look":
            assert not list(folder.iterdir())


def seeds() -> Sequence[bytes]:
    return [b"accept"]


_LIMITS = Limits(0.5, 40 << 20, 0.5, 40 << 20, wall_seconds=5.0)
TARGET = Target("_misbehaving", read, seeds, mutate_bytes, _LIMITS)
