"""Prometheus metrics, under the names that dashboards for such servers read, with our prefix.

Counts and times of requests are added up here; what the engines know is asked for when somebody scrapes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from honed.server.registry import Registry

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_FIRST = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160)
_BETWEEN = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5)
_WHOLE = (0.05, 0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480)
_PREFIX = "honed:"
_LABEL = ["model_name"]


@dataclass(frozen=True)
class ModelMetrics:
    """Those of one model, found once."""

    first_token: Histogram
    between_tokens: Histogram
    per_output_token: Histogram
    whole: Histogram
    prompt_tokens: Counter
    generation_tokens: Counter
    success: Counter
    """With one more label: the reason."""
    accepted: Counter
    failed: Counter


class Metrics:
    """Of one server."""

    def __init__(self, registry: Registry) -> None:
        own = self._own = CollectorRegistry(auto_describe=False)
        self._first = Histogram(
            f"{_PREFIX}time_to_first_token_seconds",
            "From admission to the first token.",
            _LABEL,
            registry=own,
            buckets=_FIRST,
        )
        self._between = Histogram(
            f"{_PREFIX}inter_token_latency_seconds",
            "Between a token and the next.",
            _LABEL,
            registry=own,
            buckets=_BETWEEN,
        )
        self._per_token = Histogram(
            f"{_PREFIX}time_per_output_token_seconds",
            "Between tokens, the mean of a request.",
            _LABEL,
            registry=own,
            buckets=_BETWEEN,
        )
        self._whole = Histogram(
            f"{_PREFIX}e2e_request_latency_seconds",
            "From admission to the end.",
            _LABEL,
            registry=own,
            buckets=_WHOLE,
        )
        self._prompt = Counter(f"{_PREFIX}prompt_tokens", "Tokens of prompts.", _LABEL, registry=own)
        self._generated = Counter(f"{_PREFIX}generation_tokens", "Generated tokens.", _LABEL, registry=own)
        self._success = Counter(
            f"{_PREFIX}request_success",
            "Choices that ended, by their finish reason.",
            [*_LABEL, "finished_reason"],
            registry=own,
        )
        self._accepted = Counter(f"{_PREFIX}request_accepted", "Choices that were admitted.", _LABEL, registry=own)
        self._failed = Counter(f"{_PREFIX}request_failed", "Choices that ended with an error.", _LABEL, registry=own)
        own.register(_Engines(registry))
        self._found: dict[str, ModelMetrics] = {}

    def of(self, model: str) -> ModelMetrics:
        """Of a model by its first name."""
        found = self._found.get(model)
        if found is None:
            found = self._found[model] = ModelMetrics(
                self._first.labels(model),
                self._between.labels(model),
                self._per_token.labels(model),
                self._whole.labels(model),
                self._prompt.labels(model),
                self._generated.labels(model),
                self._success,
                self._accepted.labels(model),
                self._failed.labels(model),
            )
        return found

    def text(self) -> bytes:
        """What a scrape gets."""
        return generate_latest(self._own)


class _Engines(Collector):
    """What the engines of the loaded models know."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Any]:
        """When somebody scrapes."""
        gauges = {
            "num_requests_running": ("Requests that are being computed.", "running"),
            "num_requests_waiting": ("Requests that wait for their first step.", "waiting"),
            "kv_cache_usage_perc": ("Used share of the KV cache, 1 for all of it.", "kv_use"),
        }
        counters = {
            "prefix_cache_queries": ("Prompt tokens looked up in the prefix cache.", "prefix_queried"),
            "prefix_cache_hits": ("Prompt tokens found in the prefix cache.", "prefix_found"),
            "num_preemptions": ("Requests that lost their pages for another.", "preemptions"),
        }
        known = [(name, engine_numbers(model)) for name, model in self._registry.loaded()]
        for name, (about, key) in gauges.items():
            gauge = GaugeMetricFamily(_PREFIX + name, about, labels=_LABEL)
            for model, numbers in known:
                gauge.add_metric([model], numbers[key])
            yield gauge
        for name, (about, key) in counters.items():
            counter = CounterMetricFamily(_PREFIX + name, about, labels=_LABEL)
            for model, numbers in known:
                counter.add_metric([model], numbers[key])
            yield counter
        loaded = GaugeMetricFamily(f"{_PREFIX}model_loaded", "Whether a model is in memory.", labels=_LABEL)
        for status in self._registry.statuses():
            loaded.add_metric([status.name], 1.0 if status.state == "loaded" else 0.0)
        yield loaded


def engine_numbers(model: object) -> Mapping[str, float]:
    """Of the engine of a model, nought where it has none or has not begun."""
    names = ("running", "waiting", "prefix_queried", "prefix_found", "preemptions", "free_pages", "total_pages")
    try:
        statistics = model.statistics()  # type: ignore[attr-defined]
    except Exception:  # closed just now, or an encoder
        statistics = None
    found = {name: float(getattr(statistics, name, 0)) for name in names}
    total = found["total_pages"]
    found["kv_use"] = (total - found["free_pages"]) / total if total else 0.0
    return found
