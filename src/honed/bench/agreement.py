"""Adapters beside the benchmarks of their own systems, in turn: does an adapter cost its system anything?

The same files, threads, lengths and settings on both sides, a fresh process for each measurement, and the one that goes
first changes from run to run. What is compared is planned by `api/peer_check.py`; text is in `agreement_table.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from honed.bench import quiet
from honed.bench.contender import Contender, Skipped
from honed.bench.isolate import call_isolated
from honed.bench.machine import machine
from honed.bench.peers.base import PeerError
from honed.bench.peers.own_tool import NoTool, OwnTool
from honed.bench.ratio import Ratio, paired_ratio
from honed.bench.session import Progress, measure_once
from honed.errors import HonedError, MachineError

TOLERANCE = 0.05
"""An adapter that is behind its system's tool by more than this is a handicap."""


class AgreementError(MachineError):
    """An adapter measures its system slower than the system's own benchmark does."""


ATTEMPTS = 4
"""Runs that are begun for each one that is wanted, where others disturb."""

Verdict = Literal["agrees", "behind", "ahead"]


@dataclass(frozen=True)
class Speeds:
    """Tokens a second of all sequences together, one value a run, by the adapter and by the tool."""

    adapter: tuple[float, ...]
    tool: tuple[float, ...]

    @property
    def ratio(self) -> Ratio:
        """Adapter over tool."""
        return paired_ratio(self.adapter, self.tool)

    @property
    def best_ratio(self) -> float:
        """The adapter's best run over the tool's best one, for the reader: what slows a process comes and goes, and
        nothing makes it faster than it can be. It takes no part in the verdict."""
        return max(self.adapter) / max(self.tool)

    @property
    def verdict(self) -> Verdict:
        """Off by more than the tolerance in the median of the ratios of runs that took turns.

        `ahead`: the adapter gives its system more than the system's own tool does, which handicaps nobody's peer.
        """
        median = self.ratio.median
        if median < 1 - TOLERANCE:
            return "behind"
        return "ahead" if median > 1 + TOLERANCE else "agrees"

    def to_json(self) -> dict[str, Any]:
        return {
            "adapter_tok_s": list(self.adapter),
            "tool_tok_s": list(self.tool),
            "ratio": asdict(self.ratio),
            "best_ratio": self.best_ratio,
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class Agreement:
    """One contender beside the tool of its system."""

    contender: Contender
    tool: str
    prefill: Speeds
    decode: Speeds

    @property
    def behind(self) -> list[str]:
        """Which speeds of the adapter are."""
        return [name for name, speeds in self.speeds if speeds.verdict == "behind"]

    @property
    def speeds(self) -> tuple[tuple[str, Speeds], ...]:
        return (("prefill", self.prefill), ("decode", self.decode))

    def to_json(self) -> dict[str, Any]:
        at = self.contender
        return {
            "system": at.system,
            "model": at.model,
            "variant": at.variant,
            "tool": self.tool,
            **asdict(at.workload),
            **{name: speeds.to_json() for name, speeds in self.speeds},
        }


class WithoutTool(Skipped):
    """What has no tool to be compared with; `reason` says why."""


def compare_all(
    pairs: Sequence[tuple[Contender, OwnTool | NoTool]], progress: Progress | None = None
) -> list[Agreement | Skipped]:
    """As many runs as each contender's workload says, in which no other process took a noticeable part of the machine
    (`quiet.py`); a run in which one did is made again, a few times at most. Where there is no tool, where either side
    fails, or the machine is not left alone, it becomes a `Skipped` with the reason."""
    judged = [_Pair(contender, own) for contender, own in pairs]
    runs = max((contender.workload.runs for contender, _ in pairs), default=0)
    for attempt in range(runs * ATTEMPTS):
        open_ = [pair for pair in judged if not pair.done]
        for index, pair in enumerate(open_):
            if progress is not None:
                label = f"{pair.label}, run {len(pair.adapter) + 1} of {pair.contender.workload.runs}"
                progress(len(pairs) - len(open_) + index, len(pairs), label)
            pair.run(adapter_first=attempt % 2 == 0)
    return [pair.result() for pair in judged]


class _Pair:
    """A contender and its tool, and what was measured of them so far."""

    def __init__(self, contender: Contender, own: OwnTool | NoTool) -> None:
        self.contender = contender
        self.adapter: list[tuple[float, float]] = []
        self._own = own
        self._tool: list[tuple[float, float]] = []
        self._reason = own.reason if isinstance(own, NoTool) else None
        self._others: list[float] = []

    @property
    def done(self) -> bool:
        return self._reason is not None or len(self.adapter) == self.contender.workload.runs

    @property
    def label(self) -> str:
        beside = f" beside {self._own.name}" if isinstance(self._own, OwnTool) else ""
        return f"{self.contender.system}{_way(self.contender)}{beside}"

    def run(self, *, adapter_first: bool) -> None:
        """One of each, kept if the machine was left to them."""
        own = self._own
        assert isinstance(own, OwnTool)
        before = quiet.read()
        try:
            if adapter_first:
                adapter = _adapter(self.contender)
                tool = _tool(own)
            else:
                tool = _tool(own)
                adapter = _adapter(self.contender)
        except HonedError as error:
            self._reason = str(error)
            return
        others = quiet.taken_by_others(before, quiet.read())
        if others > quiet.NOTICED:
            self._others.append(others)
            return
        self.adapter.append(adapter)
        self._tool.append(tool)

    def result(self) -> Agreement | Skipped:
        at = self.contender
        if self._reason is None and not self.done:
            least, most = min(self._others), max(self._others)
            self._reason = (
                f"the machine is not quiet: other processes took {least:.1f} to {most:.1f} CPUs "
                f"in {len(self._others)} runs"
            )
        if self._reason is not None:
            kind = WithoutTool if isinstance(self._own, NoTool) else Skipped
            return kind(at.system, at.model, self._reason, at.workload)
        assert isinstance(self._own, OwnTool)
        prefill, decode = (
            Speeds(tuple(run[side] for run in self.adapter), tuple(run[side] for run in self._tool)) for side in (0, 1)
        )
        return Agreement(at, self._own.name, prefill, decode)


def agreement_json(found: Sequence[Agreement | Skipped]) -> dict[str, Any]:
    """Everything, raw values included, and the machine."""
    rows = [
        {"system": item.system, "model": item.model, "not_compared": item.reason}
        if isinstance(item, Skipped)
        else item.to_json()
        for item in found
    ]
    return {"rows": rows, "tolerance": TOLERANCE, "machine": machine()}


def require_agreement(found: Sequence[Agreement | Skipped]) -> None:
    """AgreementError where an adapter is behind its system's tool, or has one and could not be compared with it."""
    behind = [
        f"{item.contender.system}{_way(item.contender)} ({item.contender.workload.label}): "
        + ", ".join(f"{name} {speeds.ratio.median:.2f}" for name, speeds in item.speeds if name in item.behind)
        for item in found
        if isinstance(item, Agreement) and item.behind
    ]
    if behind:
        raise AgreementError(f"over {TOLERANCE:.0%} behind the system's own benchmark: {'; '.join(behind)}")
    missing = [item for item in found if isinstance(item, Skipped) and not isinstance(item, WithoutTool)]
    if missing:
        raise AgreementError(f"not compared: {'; '.join(f'{item.system}: {item.reason}' for item in missing)}")
    if not any(isinstance(item, Agreement) for item in found):
        raise AgreementError("there was nothing to compare an adapter with; the table says why")


def _way(contender: Contender) -> str:
    return f" {contender.variant}" if contender.variant else ""


def _adapter(contender: Contender) -> tuple[float, float]:
    sample, workload = measure_once(contender), contender.workload
    return workload.batch * workload.prompt_tokens / sample.prefill_s, sample.decoded / sample.decode_s


def _tool(own: OwnTool) -> tuple[float, float]:
    answer = call_isolated(own.function, own.arguments, interpreter=own.interpreter, environment=own.environment)
    prefill, decode = float(answer["prefill_tok_s"]), float(answer["decode_tok_s"])
    if not all(math.isfinite(speed) and speed > 0 for speed in (prefill, decode)):
        raise PeerError(f"{own.name} said {prefill:g} and {decode:g} tokens a second")
    return prefill, decode
