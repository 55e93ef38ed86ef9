"""Progress on stderr: a bar on a terminal, a plain line now and then anywhere else, and nothing for short work."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from honed.cli.streams import say
from honed.errors import plain

Report = Callable[[str, int, int], None]
"""Called with what is done now, and how much of how much is done."""

QUIET_S = 2.0
"""Work that ends sooner shows no line where there is no terminal."""
LINE_EVERY_S = 5.0


@contextmanager
def progress() -> Iterator[Report]:
    """Gives the function to report to. Cleared from a terminal at the end."""
    if not sys.stderr.isatty():
        yield _Lines(say, time.monotonic)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def report(label: str, done: int, total: int) -> None:
            bar.update(task, description=escape(plain(label)), completed=done, total=total)

        yield report


class _Lines:
    """A line every few seconds, the first one only when the work has turned out to be long."""

    def __init__(self, write: Callable[[str], object], clock: Callable[[], float]) -> None:
        self._write = write
        self._clock = clock
        self._next = clock() + QUIET_S

    def __call__(self, label: str, done: int, total: int) -> None:
        now = self._clock()
        if now >= self._next:
            self._next = now + LINE_EVERY_S
            self._write(f"{plain(label)}: {done} of {total}\n")
