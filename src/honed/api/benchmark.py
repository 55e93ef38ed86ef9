"""Speed of models and of other systems with the same weights, measured in one run: names to contenders to a report.

Not here: how a measurement is made (`bench/`), and our side of it (`engine_runner.py`).
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from honed.api.load import check_model
from honed.backends.capacity import STEP_TOKENS
from honed.backends.open import check_here
from honed.backends.options import RunOptions
from honed.bench.competitors import check_busy
from honed.bench.contender import Contender, Skipped
from honed.bench.peers import find_peer, peer_names
from honed.bench.peers.base import Announce, Peer, PeerError
from honed.bench.report import OWN, Report, make_report
from honed.bench.session import Progress, measure_all
from honed.bench.workload import Workload, workload_prompts
from honed.checkpoints.base import Checkpoint, Manifested
from honed.checkpoints.open import open_checkpoint
from honed.errors import HonedError, ParameterError, SourceError
from honed.models.registry import read_model
from honed.parameters import checks_names, function, real_number, texts
from honed.runtime.scheduler import head_start

ROOM = 64
"""Positions that the cache has at least, for the short first prompt."""
LEAST_TOGETHER = 16
"""Where the context has no room for all new tokens of a batch together, it must have it for so many."""


@dataclass(frozen=True)
class BenchModel:
    """A model to measure, and how it is run: dtype, kv and isa. The rest of its options follows from the workload."""

    name: str
    options: RunOptions = field(default_factory=RunOptions)

    def __post_init__(self) -> None:
        check_model("models", self.name, None)
        if not isinstance(self.options, RunOptions):
            raise ParameterError("options", self.options, "must be a honed.RunOptions")
        for name in ("threads", "context", "sequences", "backend"):
            value = getattr(self.options, name)
            if value != getattr(RunOptions, name):
                reason = "is native for a benchmark" if name == "backend" else "is that of the workload"
                raise ParameterError(name, value, f"{reason}; leave it out")

    @property
    def label(self) -> str:
        return self.name if self.options.kv == "auto" else f"{self.name}, {self.options.kv} KV"


@checks_names
def benchmark(
    models: Sequence[BenchModel],
    workloads: Workload | Sequence[Workload],
    *,
    against: Sequence[str] = (),
    minutes: float | None = None,
    progress: Progress | None = None,
) -> Report:
    """Measures every model on honed's engine, and each peer of `against` with the weights that the models came from,
    on every workload; all of them take turns. What fails on a workload becomes a skipped row of it, and the
    others go on.

    A peer runs the source of an artifact where that can be found, once for all models of one source, and the decoded
    weights of the artifact itself where it cannot. Peers are named as in `honed bench --against`; one that cannot be
    installed or take the model becomes a skipped row. minutes: no further run is begun after so many, counted
    from the first. Errors, all before anything is measured, are those of opening a model, and ParameterError for a
    workload that does not fit a model's context.
    """
    if not isinstance(models, list | tuple) or not models:
        raise ParameterError("models", models, "must be a list of at least one BenchModel")
    for model in models:
        if not isinstance(model, BenchModel):
            raise ParameterError("models", model, "must be a BenchModel, which says how its weights and cache are held")
        check_here(model.options)
    if minutes is not None:
        minutes = real_number("minutes", minutes, over=0, expected="must be over 0")
    function("progress", progress)
    peers = [find_peer(name) for name in peer_names(texts("against", against))]
    opened = [(model, open_checkpoint(model.name)) for model in models]
    planned = [workloads] if isinstance(workloads, Workload) else list(workloads)
    if not planned or not all(isinstance(workload, Workload) for workload in planned):
        raise ParameterError("workloads", workloads, "must be a Workload or a list of them")
    for workload in planned:
        check_busy(workload.busy)
    contenders = [_contender(model, checkpoint, workload) for workload in planned for model, checkpoint in opened]
    skipped: list[Skipped] = []
    came_from = sources(opened) if peers else []
    for peer in peers:
        for name, checkpoint in came_from:
            try:
                contenders += peer_contenders(peer, name, checkpoint, planned, progress)
            except HonedError as error:
                skipped.append(Skipped(peer.name, name, str(error)))
    end = None if minutes is None else time.monotonic() + 60 * minutes
    until = (lambda: False) if end is None else (lambda: time.monotonic() > end)
    return make_report([*measure_all(_by_workload(contenders), progress, until=until), *skipped])


def _contender(model: BenchModel, checkpoint: Checkpoint, workload: Workload) -> Contender:
    context = read_model(checkpoint.config, checkpoint.path).dimensions.context
    if workload.positions > context:
        raise ParameterError(
            "prompt_tokens + new_tokens", workload.positions, f"must be at most {context}, the context of {model.name}"
        )
    ahead, together = _together(workload, context, model.name)
    run = replace(
        model.options,
        threads=workload.threads,
        context=min(max(workload.prompt_tokens + ahead + together, ROOM), context),
        sequences=workload.batch,
    )
    return Contender(
        system=OWN,
        model=model.label,
        open_function="honed.api.engine_runner:open_runner",
        arguments={"model": model.name, "options": run.to_json()},
        prompts=workload_prompts(checkpoint.tokenizer().encode, workload),
        file_bytes=sum(path.stat().st_size for path in checkpoint.files),
        workload=workload,
        new_tokens=together,
    )


def _together(workload: Workload, context: int, name: str) -> tuple[int, int]:
    """Tokens that the first sequence generates before the last one does, and those that then all generate together: the
    new tokens of the workload, or what the context leaves of them. ParameterError where that is too few."""
    batch, rows = workload.batch, STEP_TOKENS
    if batch > rows:
        raise ParameterError("batch", batch, f"must be at most {rows}, the rows of one step")
    least = min(workload.new_tokens, LEAST_TOGETHER)

    def room(prompt_tokens: int) -> int:
        return context - prompt_tokens - head_start(batch, prompt_tokens, rows)

    left = room(workload.prompt_tokens)
    if left < least:
        # Longer prompts leave less room.
        most = bisect_left(range(1, workload.prompt_tokens), True, key=lambda tokens: room(tokens) < least)
        reason = f"the context of {name}, {context}, ends before {batch} sequences have decoded {least} tokens together"
        if not most:
            raise ParameterError("batch", batch, f"{reason}; must be smaller")
        raise ParameterError("prompt_tokens", workload.prompt_tokens, f"must be at most {most}: {reason}")
    return context - workload.prompt_tokens - left, min(workload.new_tokens, left)


def peer_contenders(
    peer: Peer, name: str, checkpoint: Checkpoint, workloads: Sequence[Workload], progress: Progress | None
) -> list[Contender]:
    """What a system runs of a checkpoint, for every workload. PeerError where it cannot."""
    reason = peer.unavailable()
    if reason is not None:
        raise PeerError(reason)
    announce = announcing(progress)
    return [contender for workload in workloads for contender in peer.contenders(name, checkpoint, workload, announce)]


def announcing(progress: Progress | None) -> Announce:
    """Tells `progress` what takes its time before the first measurement."""

    def announce(what: str) -> None:
        if progress is not None:
            progress(0, 1, what)

    return announce


def _by_workload(contenders: Sequence[Contender]) -> list[Contender]:
    """Those of one workload behind each other, so that what is compared is measured within minutes."""
    order = list(dict.fromkeys(contender.workload for contender in contenders))
    return sorted(contenders, key=lambda contender: order.index(contender.workload))


def sources(opened: Sequence[tuple[BenchModel, Checkpoint]]) -> list[tuple[str, Checkpoint]]:
    """What the models came from, each once."""
    found: dict[str, tuple[str, Checkpoint]] = {}
    for model, checkpoint in opened:
        name, source = model.name, checkpoint
        recorded = checkpoint.manifest["source"]["name"] if isinstance(checkpoint, Manifested) else None
        if isinstance(recorded, str):
            try:
                name, source = recorded, open_checkpoint(recorded)
            except (SourceError, ParameterError):
                name, source = model.name, checkpoint
        found.setdefault(str(source.path.resolve()), (name, source))
    return list(found.values())
