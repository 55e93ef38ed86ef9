"""Do the adapters of other systems measure what these systems can do? Each beside the benchmark of its own system.

Planned like a benchmark (`benchmark.py`), measured by `bench/agreement.py`. honed itself is not measured here.
"""

from __future__ import annotations

from collections.abc import Sequence

from honed.api.benchmark import BenchModel, announcing, peer_contenders, sources
from honed.bench.agreement import Agreement, compare_all
from honed.bench.contender import Contender, Skipped
from honed.bench.peers import GROUPS, PEERS, find_peer, peer_names
from honed.bench.peers.own_tool import NoTool, OwnTool
from honed.bench.session import Progress
from honed.bench.workload import Workload
from honed.checkpoints.open import open_checkpoint
from honed.errors import HonedError, ParameterError

EVERYTHING = tuple(dict.fromkeys((*(name for group in GROUPS.values() for name in group), *PEERS)))
"""What is checked where nobody says what."""


def check_peers(
    models: Sequence[str],
    workloads: Sequence[Workload],
    *,
    against: Sequence[str] = (),
    progress: Progress | None = None,
) -> list[Agreement | Skipped]:
    """Each adapter of `against` (`honed bench --against`; empty: of all) with what `models` came from, on every
    workload, beside its system's own benchmark. What cannot be had, and what has no benchmark of its own, is a
    `Skipped` that says why.

    Errors, before anything is measured: ParameterError and those of opening a model.
    """
    if not models:
        raise ParameterError("models", list(models), "must name at least one model")
    peers = [find_peer(name) for name in (peer_names(against) or EVERYTHING)]
    opened = [(BenchModel(name), open_checkpoint(name)) for name in models]
    pairs: list[tuple[Contender, OwnTool | NoTool]] = []
    skipped: list[Skipped] = []
    for peer in peers:
        for name, checkpoint in sources(opened):
            try:
                contenders = peer_contenders(peer, name, checkpoint, workloads, progress)
                found = [(contender, peer.own_tool(contender, announcing(progress))) for contender in contenders]
            except HonedError as error:
                skipped.append(Skipped(peer.name, name, str(error)))
                continue
            pairs += _each_reason_once(found)
    return [*compare_all(pairs, progress), *skipped]


def _each_reason_once(
    found: Sequence[tuple[Contender, OwnTool | NoTool]],
) -> list[tuple[Contender, OwnTool | NoTool]]:
    """Without a second line about what has no tool: it has none for any workload."""
    without = [pair for pair in found if isinstance(pair[1], NoTool)]
    return [pair for pair in found if isinstance(pair[1], OwnTool)] or without[:1]
