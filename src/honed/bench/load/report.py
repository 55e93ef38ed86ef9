"""What a load came to: rates, and percentiles of the times that users feel.

Time to first token: from sending the request to the first piece of text. Inter-token: between pieces of one stream.
Time per output token: from the first piece to the last, over the tokens between. End to end: to the last byte. All of
whole requests; those that were broken off on purpose or refused as they should be are counted apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from honed.bench.load.drive import Measured
from honed.bench.load.plan import LoadPlan


@dataclass(frozen=True)
class Percentiles:
    """In seconds. count: values behind them."""

    count: int
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    most: float

    @staticmethod
    def of(values: Sequence[float]) -> Percentiles | None:
        """None of none. Between two values it is interpolated linearly, as numpy's percentile."""
        if not values:
            return None
        ordered = sorted(values)
        p50, p90, p95, p99 = (_percentile(ordered, point) for point in (50, 90, 95, 99))
        return Percentiles(len(ordered), sum(ordered) / len(ordered), p50, p90, p95, p99, ordered[-1])


@dataclass(frozen=True)
class LoadReport:
    """tokens_per_second: generated ones of all requests, over the wall time. client_share: CPU time of the client over
    the wall time (1: one CPU kept busy by it)."""

    label: str
    model: str
    finished: int
    cancelled: int
    refused: int
    failed: int
    errors: tuple[str, ...]
    seconds: float
    requests_per_second: float
    tokens_per_second: float
    prompt_tokens_per_second: float
    cached_share: float
    client_share: float
    first_token: Percentiles | None
    inter_token: Percentiles | None
    per_token: Percentiles | None
    end_to_end: Percentiles | None

    def to_json(self) -> dict[str, Any]:
        """For a JSON object; times in seconds."""
        return asdict(self)


def report(plan: LoadPlan, model: str, measured: Measured) -> LoadReport:
    """Counts what was measured."""
    outcomes = measured.outcomes
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    good = [outcome for outcome in outcomes if outcome.error is None]
    whole = [outcome for outcome in good if outcome.fate == "whole"]
    seconds = max(measured.seconds, 1e-9)
    prompts = sum(outcome.prompt_tokens for outcome in whole)
    spans = [
        (outcome.pieces[-1] - outcome.pieces[0]) / (outcome.new_tokens - 1)
        for outcome in whole
        if len(outcome.pieces) > 1 and outcome.new_tokens > 1
    ]
    return LoadReport(
        label=plan.label,
        model=model,
        finished=len(whole),
        cancelled=sum(outcome.fate == "cancel" for outcome in good),
        refused=sum(outcome.fate == "invalid" for outcome in good),
        failed=len(failed),
        errors=tuple(dict.fromkeys(outcome.error for outcome in failed if outcome.error is not None))[:5],
        seconds=measured.seconds,
        requests_per_second=len(whole) / seconds,
        tokens_per_second=sum(outcome.new_tokens or len(outcome.pieces) for outcome in good) / seconds,
        prompt_tokens_per_second=prompts / seconds,
        cached_share=sum(outcome.cached_tokens for outcome in whole) / max(1, prompts),
        client_share=measured.client_seconds / seconds,
        first_token=Percentiles.of([outcome.pieces[0] - outcome.sent for outcome in whole if outcome.pieces]),
        inter_token=Percentiles.of([after - before for outcome in whole for before, after in pairwise(outcome.pieces)]),
        per_token=Percentiles.of(spans),
        end_to_end=Percentiles.of([outcome.ended - outcome.sent for outcome in whole]),
    )


HEADER = ("", "p50", "p90", "p95", "p99", "most", "mean")


def cells(found: LoadReport) -> list[list[str]]:
    """Cells under `HEADER`, in milliseconds."""
    rows = {
        "time to first token": found.first_token,
        "inter-token time": found.inter_token,
        "time per output token": found.per_token,
        "end to end": found.end_to_end,
    }
    return [
        [name, *(f"{1000 * value:.1f} ms" for value in (row.p50, row.p90, row.p95, row.p99, row.most, row.mean))]
        for name, row in rows.items()
        if row is not None
    ]


def lines(found: LoadReport) -> list[str]:
    """What is told beside the table."""
    told = [
        f"{found.tokens_per_second:.1f} generated tokens/s, {found.prompt_tokens_per_second:.1f} prompt tokens/s "
        f"({100 * found.cached_share:.0f} % of them cached), {found.requests_per_second:.2f} requests/s in "
        f"{found.seconds:.1f} s",
        f"{found.finished} finished, {found.cancelled} broken off, {found.refused} refused as they should be, "
        f"{found.failed} failed; the client took {found.client_share:.2f} CPUs",
    ]
    return [*told, *(f"failed: {error}" for error in found.errors)]


def _percentile(ordered: Sequence[float], point: float) -> float:
    place = (len(ordered) - 1) * point / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
