"""`honed run`: a file of rows through a model, resumable. Order is kept, and no row is lost or doubled.

Results are noted in a journal beside the output as they come, and the output is written from it when all are there. So
a run that was killed goes on with the same command, and a reader never sees half an output.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from honed.api.offline.journal import Journal
from honed.api.offline.results import check_output, write_results
from honed.api.offline.rows import column_names, format_of, read_rows
from honed.api.offline.work import ADDED, Work
from honed.checkpoints.content_hash import file_sha256
from honed.errors import ParameterError, SourceError
from honed.records import dataclass

Report = Callable[[str, int, int], None]
Line = Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]
"""The fields of a row and its result to what is written of it."""
_AHEAD = 4
"""Rows that are read ahead for each one that is being run."""


@dataclass(frozen=True)
class RunReport:
    """rows: in all. resumed: of them done before. failed: whose result is an error. tokens: generated now."""

    rows: int
    resumed: int
    failed: int
    tokens: int
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        """Of this run, not of the one that it went on with."""
        return self.tokens / max(self.seconds, 1e-9)


@dataclass(frozen=True)
class Job:
    """What is run. question: whatever else the results depend on; together with the input it tells one run from
    another. together: rows at a time."""

    source: Path
    output: Path
    task: str
    question: Mapping[str, Any]
    together: int = 64
    overwrite: bool = False

    @property
    def journal(self) -> Path:
        """Where results are noted until all are there."""
        return self.output.with_name(f"{self.output.name}.partial")


def check_job(source: Path, output: Path, overwrite: bool) -> None:
    """What can be said before a model is loaded. ParameterError, SourceError."""
    format_of(source, "input")
    format_of(output, "output")
    if output.exists() and (source.exists() and output.samefile(source)):
        raise ParameterError("output", str(output), "is the input; name another file")
    if output.exists() and not overwrite:
        raise ParameterError("output", str(output), "is there already; --overwrite replaces it")
    if not output.parent.is_dir():
        raise SourceError(f"{output}: there is no directory {output.parent}; make it first")


def run_job(
    job: Job,
    work: Work,
    *,
    stop: Callable[[], None] = lambda: None,
    report: Report = lambda label, done, total: None,
    line: Line | None = None,
) -> RunReport:
    """Runs what is not done yet and writes the output. stop: called where the run is broken off, to end the work that
    is under way. line: what stands in the output of a row, if not its fields with those of the result behind them.
    Errors: those of reading and writing, and MachineError of the work; what was done stays in the journal."""
    check_job(job.source, job.output, job.overwrite)
    rows, names = _surveyed(job.source)
    added = ADDED.get(job.task, ())
    if line is None:
        check_output(job.output, names, added)
    question = {**job.question, "task": job.task, "input": _sha256(job.source)}
    with Journal(job.journal, question, rows) as journal:
        resumed = journal.done
        started = time.monotonic()
        tokens = _fill(job, journal, work, stop, _Progress(report, rows, resumed))
        failed = sum("error" in journal.result(row) for row in range(rows))
        write_results(job.output, _merged(job, journal, line or _beside), [*names, *added])
        journal.remove()
    return RunReport(rows, resumed, failed, tokens, time.monotonic() - started)


class _Progress:
    """Says how far it is, how fast, and how long it will take."""

    def __init__(self, report: Report, rows: int, resumed: int) -> None:
        self._report = report
        self._rows = rows
        self._resumed = resumed
        self._started = time.monotonic()
        self.tokens = 0

    def tell(self, done: int) -> None:
        seconds = time.monotonic() - self._started
        now = done - self._resumed
        left = (self._rows - done) * seconds / max(1, now)
        speed = f"{self.tokens / max(seconds, 1e-9):.0f} tokens/s, " if self.tokens else ""
        self._report(f"{speed}{_duration(left)} left", done, self._rows)


def _surveyed(path: Path) -> tuple[int, list[str]]:
    """How many rows there are, and all fields that they have."""
    names = dict.fromkeys(column_names(path) or ())
    count = 0
    for row in read_rows(path):
        names.update(dict.fromkeys(row.fields))
        count += 1
    return count, list(names)


def _fill(job: Job, journal: Journal, work: Work, stop: Callable[[], None], progress: _Progress) -> int:
    """Runs the rows that are missing; the tokens that were generated."""
    missing = ((number, row) for number, row in enumerate(read_rows(job.source)) if number not in journal)
    pool = ThreadPoolExecutor(job.together, thread_name_prefix="row")
    running: dict[Future[dict[str, Any]], int] = {}
    try:
        while True:
            while len(running) < _AHEAD * job.together and (found := next(missing, None)) is not None:
                number, row = found
                if row.error is not None:
                    journal.add(number, {"error": row.error})
                else:
                    running[pool.submit(work, number, row.fields)] = number
            if not running:
                return progress.tokens
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                number = running.pop(future)
                result = future.result()
                journal.add(number, result)
                progress.tokens += result.get("completion_tokens", 0)
            progress.tell(journal.done)
    except BaseException:
        stop()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _merged(job: Job, journal: Journal, line: Line) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(read_rows(job.source)):
        yield line(row.fields, journal.result(number))


def _beside(fields: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    return {**fields, **result}


def _sha256(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from None


def _duration(seconds: float) -> str:
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"
