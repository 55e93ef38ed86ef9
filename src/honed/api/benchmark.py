"""Speed of models and of other systems with the same weights, measured in one run: names to contenders to a report.

Not here: how a measurement is made (`bench/`), and our side of it (`engine_runner.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from honed.bench.contender import Contender, Skipped
from honed.bench.peers import find_peer
from honed.bench.peers.base import Peer
from honed.bench.report import Report, make_report
from honed.bench.session import Progress, measure_all
from honed.bench.workload import Workload, prompt_ids
from honed.checkpoints.base import Checkpoint
from honed.checkpoints.open import open_checkpoint
from honed.errors import HonedError, ParameterError, SourceError
from honed.models.registry import read_model
from honed.plan.formats import DensePolicy, KvPolicy

ROOM = 64
"""Positions that the cache has at least, for the short first prompt."""


@dataclass(frozen=True)
class BenchModel:
    """A model to measure, how its unquantized weights and its KV cache are held (`dtype` and `kv` of `honed.load`)."""

    name: str
    dtype: DensePolicy = "auto"
    kv: KvPolicy = "auto"


def benchmark(
    models: Sequence[BenchModel],
    workload: Workload,
    *,
    against: Sequence[str] = (),
    isa: str | None = None,
    progress: Progress | None = None,
) -> Report:
    """Measures every model on honed's engine, and each peer of `against` with the weights that the models came from.

    A peer runs the source of an artifact where that can be found, once for all models of one source, and the decoded
    weights of the artifact itself where it cannot. A peer that is not installed becomes a skipped row. Errors are
    those of `honed.load`, ParameterError for a workload longer than a model's context, and WorkerError.
    """
    if not models:
        raise ParameterError("models", list(models), "must name at least one model")
    peers = [find_peer(name) for name in against]
    opened = [(model, open_checkpoint(model.name)) for model in models]
    contenders = [_contender(model, checkpoint, workload, isa) for model, checkpoint in opened]
    skipped: list[Skipped] = []
    for peer in peers:
        for name, checkpoint in _sources(opened):
            reason = peer.unavailable()
            if reason is None:
                reason = _plan_peer(peer, name, checkpoint, workload, contenders)
            if reason is not None:
                skipped.append(Skipped(peer.name, name, reason))
    return make_report([*measure_all(contenders, workload, progress), *skipped], workload)


def _contender(model: BenchModel, checkpoint: Checkpoint, workload: Workload, isa: str | None) -> Contender:
    context = read_model(checkpoint.config, checkpoint.path).dimensions.context
    if workload.positions > context:
        raise ParameterError(
            "prompt_tokens + new_tokens", workload.positions, f"must be at most {context}, the context of {model.name}"
        )
    return Contender(
        system="honed",
        model=model.name,
        open_function="honed.api.engine_runner:open_runner",
        arguments={
            "model": model.name,
            "dtype": model.dtype,
            "kv": model.kv,
            "threads": workload.threads,
            "isa": isa,
            "context": min(max(workload.positions, ROOM), context),
        },
        prompt=tuple(prompt_ids(checkpoint.tokenizer().encode, workload.prompt_tokens)),
        file_bytes=sum(path.stat().st_size for path in checkpoint.files),
    )


def _sources(opened: Sequence[tuple[BenchModel, Checkpoint]]) -> list[tuple[str, Checkpoint]]:
    """What the models came from, each once."""
    found: dict[str, tuple[str, Checkpoint]] = {}
    for model, checkpoint in opened:
        name, source = model.name, checkpoint
        recorded = getattr(checkpoint, "manifest", {}).get("source", {}).get("name")
        if isinstance(recorded, str):
            try:
                name, source = recorded, open_checkpoint(recorded)
            except (SourceError, ParameterError):
                name, source = model.name, checkpoint
        found.setdefault(str(source.path.resolve()), (name, source))
    return list(found.values())


def _plan_peer(
    peer: Peer, name: str, checkpoint: Checkpoint, workload: Workload, contenders: list[Contender]
) -> str | None:
    """Adds the peer to the contenders, or says why it cannot take part."""
    try:
        contenders.append(peer.contender(name, checkpoint, workload))
    except HonedError as error:
        return str(error)
    return None
