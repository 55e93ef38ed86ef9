"""Results as they come, in a file that a killed process leaves behind and the next one goes on with.

A line each, appended and handed to the system at once, so that `kill -9` loses none, and to the disk every second. The
first line says what is run: results of another question are never taken for those of this one. A last line that was
only written in part is cut off. One process at a time holds it.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from array import array
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from honed.errors import MachineError, SourceError, quoted

_SYNC_S = 1.0
_NONE = -1


class Journal:
    """The results of numbered rows. Use it in a with statement."""

    def __init__(self, path: Path, question: Mapping[str, Any], rows: int) -> None:
        """Opens or makes it. question: what is run, as JSON values. SourceError where it is another's, another process
        holds it, or it is no journal; MachineError where the disk does not take it."""
        self.path = path
        self._places = array("q", [_NONE]) * rows
        self.done = 0
        self._synced = 0.0
        head = json.dumps({"honed_run": 1, "question": dict(question)}, sort_keys=True).encode() + b"\n"
        try:
            self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+b")
            try:
                self._hold()
                self._read(head)
            except BaseException:
                self._file.close()
                raise
        except OSError as error:
            raise MachineError(f"{path}: cannot be written: {error.strerror or error}") from error

    def __contains__(self, row: int) -> bool:
        return self._places[row] != _NONE

    def add(self, row: int, result: Mapping[str, Any]) -> None:
        """Notes the result of a row, once. MachineError where the disk is full: what was noted before stays."""
        assert row not in self
        line = json.dumps({"row": row, "result": dict(result)}, ensure_ascii=False).encode() + b"\n"
        try:
            place = self._file.seek(0, os.SEEK_END)
            self._file.write(line)
            self._file.flush()
            if time.monotonic() - self._synced > _SYNC_S:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            raise MachineError(
                f"{self.path}: cannot be written: {error.strerror or error}; the same command goes on from here"
            ) from error
        self._places[row] = place
        self.done += 1

    def result(self, row: int) -> dict[str, Any]:
        """What was noted of a row that is there."""
        self._file.seek(self._places[row])
        found: dict[str, Any] = json.loads(self._file.readline())["result"]
        return found

    def remove(self) -> None:
        """Takes the file away: its results are elsewhere now."""
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _hold(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SourceError(f"{self.path}: another honed run is writing there; wait for it") from None

    def _read(self, head: bytes) -> None:
        first = self._file.readline()
        if not first.endswith(b"\n"):  # new, or its first line was being written
            if first and not head.startswith(first):
                raise SourceError(f"{self.path}: is no file of honed run; name another output")
            self._start_over(head)
            return
        if first != head:
            raise SourceError(self._difference(first, head))
        place = self._file.tell()
        for line in self._file:
            if not line.endswith(b"\n"):
                self._file.truncate(place)
                break
            try:
                row = json.loads(line)["row"]
                known = isinstance(row, int) and 0 <= row < len(self._places)
            except (ValueError, LookupError, TypeError):
                known = False
            if not known:
                raise SourceError(f"{self.path}: byte {place} begins no result; remove the file to begin anew")
            self.done += row not in self
            self._places[row] = place
            place += len(line)

    def _start_over(self, head: bytes) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._file.write(head)
        self._file.flush()

    def _difference(self, first: bytes, head: bytes) -> str:
        try:
            before, now = json.loads(first)["question"], json.loads(head)["question"]
            name = next(name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name))
            return (
                f"{self.path}: holds results of a run with {name} = {quoted(before.get(name))}, and this one has "
                f"{quoted(now.get(name))}; ask the same, or remove the file to begin anew"
            )
        except (ValueError, LookupError, TypeError, AttributeError, StopIteration):
            return f"{self.path}: is no file of honed run; name another output"
