"""What linear layers cost on this machine: measured times by shape, form and rows, each measured when it is first asked
for and kept in the user's cache.

Times are of one processor, instruction set, number of threads and build of the engine, and each such machine has a file
of its own. A file that is damaged, or that another user could have written, counts as empty. Who asks: budgets of
decoding time and passes that change shapes. Not here: how a time is measured (`native_timing.py`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from honed.backends.native_timing import time_linear
from honed.checkpoints.content_hash import file_sha256
from honed.checkpoints.download.cache import NoCacheError, cache_directory
from honed.checkpoints.private_files import read_private, write_private
from honed.encodings.descriptor import Format
from honed.errors import ParameterError
from honed.native import extension
from honed.version import __version__

Shape = tuple[int, int]
"""Of a weight: out features, in features."""
Measure = Callable[[Shape, Format, int], float]
"""Seconds of a layer with a weight in that form, over so many rows."""

_LAYOUT = 1
_MOST_BYTES = 4 << 20
_MOST_ROWS = 65536


@dataclass(frozen=True)
class Machine:
    """What times hold for. engine: a digest of the extension, as a rebuilt one may be faster."""

    cpu: str
    features: tuple[str, ...]
    isa: str
    threads: int
    version: str
    engine: str

    @classmethod
    def here(cls, threads: int | None = None, isa: str | None = None) -> Machine:
        """This one. `threads` and `isa` None: those that a model runs with by default."""
        found = extension.features()
        return cls(
            cpu=str(found.get("model") or found["architecture"]),
            features=tuple(found["instruction_sets"]),
            isa=isa or os.environ.get("HONED_ISA") or extension.isas()[0],
            threads=extension.default_threads() if threads is None else threads,
            version=__version__,
            engine=file_sha256(Path(str(extension.__file__))),
        )

    @property
    def name(self) -> str:
        """Of its file."""
        described = json.dumps(dataclasses.asdict(self), sort_keys=True).encode()
        return f"{hashlib.sha256(described).hexdigest()[:32]}.json"


class Costs:
    """The times of one machine. Tests give a `measure` of their own; `open_costs` gives that of the engine."""

    def __init__(self, machine: Machine, measure: Measure, directory: Path | None) -> None:
        """`directory`: where the file of the machine is, or None to keep nothing."""
        self.machine = machine
        self._measure = measure
        self._path = None if directory is None else directory / machine.name
        self._known: dict[str, float] | None = None

    def of(self, shape: Shape, form: Format, rows: int) -> float:
        """Seconds of a linear layer by itself: its input quantized where the form asks for it, and multiplied.

        shape: (out features, in features). form: how kernels read the weight, such as `scheme.run_as("auto")`. rows: 1
        is decoding, 16 a batch, 512 a prompt.
        Errors: ParameterError for a size that no layer has; those of `time_linear`.
        """
        for field, value, most in (("out features", shape[0], 1 << 24), ("in features", shape[1], 1 << 24)):
            _check(field, value, most)
        _check("rows", rows, _MOST_ROWS)
        if self._known is None:
            self._known = self._read()
        name = f"{form.name}: {form}, {shape[0]} x {shape[1]}, {rows} rows"
        if name not in self._known:
            self._known[name] = self._measure(shape, form, rows)
            self._keep()
        return self._known[name]

    def __iter__(self) -> Iterator[tuple[str, float]]:
        """What is known so far, by name."""
        if self._known is None:
            self._known = self._read()
        return iter(sorted(self._known.items()))

    def _read(self) -> dict[str, float]:
        if self._path is None:
            return {}
        data = read_private(self._path, _MOST_BYTES)
        return {} if data is None else _times(data, self.machine)

    def _keep(self) -> None:
        """With what others have found meanwhile. Of two that write at once one may be lost, and is measured again."""
        assert self._known is not None
        if self._path is None:
            return
        self._known = {**self._read(), **self._known}
        found = {"layout": _LAYOUT, "machine": _plain(self.machine), "seconds": self._known}
        with contextlib.suppress(OSError):  # a cache that cannot be written is no error: the time stands
            write_private(self._path, json.dumps(found, indent=1).encode())


def open_costs(threads: int | None = None, isa: str | None = None) -> Costs:
    """Those of this machine, measured with the native engine."""
    machine = Machine.here(threads, isa)
    try:
        directory: Path | None = cache_directory() / "costs"
    except NoCacheError:
        directory = None
    return Costs(machine, partial(time_linear, threads=machine.threads, isa=machine.isa), directory)


def _check(field: str, value: int, most: int) -> None:
    if not 1 <= value <= most:
        raise ParameterError(field, value, f"must be from 1 to {most}")


def _plain(machine: Machine) -> dict[str, Any]:
    return {**dataclasses.asdict(machine), "features": list(machine.features)}


def _times(data: bytes, machine: Machine) -> dict[str, float]:
    """Those of a file, none where it is not what was written for that machine."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict) or found.get("layout") != _LAYOUT or found.get("machine") != _plain(machine):
        return {}
    seconds = found.get("seconds")
    if not isinstance(seconds, Mapping) or not all(map(_is_time, seconds.values())):
        return {}
    return dict(seconds)


def _is_time(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value) and value > 0
