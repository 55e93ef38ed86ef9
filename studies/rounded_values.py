"""What it would cost to round values inside a model further, by simulation in float32: keys and values of the cache, or
what enters linear layers.

    python studies/rounded_values.py MODEL cache|activations [--windows 8] [--tokens 512] [--only NAME;NAME]

Each variant rounds some values as they are made; weights stay as they are. `cache` has 8 and 4 bits in groups of 32
features of a head, with and without a zero point, and keys by channel over 32 positions (Liu et al. 2024, "KIVI").
`activations` has int8 with scales found at run time, for a token or for 32 of its features, and with one scale for a
layer that calibration found: by the largest value, percentiles, the least square error, or the least divergence of the
distribution (Migacz 2017); layers are smoothed first, as the recipe int8 does it. KL in nats a token, with a 95 %
interval over windows of the Python topics; calibration is the built-in text.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from honed.api.calibration import find_calibration
from honed.checkpoints.base import Checkpoint
from honed.checkpoints.open import open_checkpoint
from honed.compress.base import ModelState
from honed.compress.calibration_settings import CalibrationSettings
from honed.compress.observed_blocks import place_blocks
from honed.compress.observed_ops import NUMPY, Step
from honed.compress.pipeline import run_recipe
from honed.compress.recipe import read_recipe
from honed.compress.weights import SourceWeights
from honed.evaluate.metrics.tokens import compare_logits
from honed.evaluate.windows import Window, cut_windows
from honed.models.base import Model
from honed.models.programs import LOGITS
from honed.models.recorded import main_graph
from honed.models.registry import read_model
from honed.ops.table import Attention
from honed.text.corpora import python_topics

Floats = NDArray[np.float32]
Round = Callable[[Floats], Floats]
BINS = 2048


def by_group(bits: int, group: int, *, zero_point: bool) -> Round:
    """A scale for each run of `group` features; with a zero point also the least value."""

    def rounded(x: Floats) -> Floats:
        runs = x.reshape(-1, group)
        return _rounded(runs, bits, axis=1, zero_point=zero_point).reshape(x.shape)

    return rounded


def by_channel(bits: int, positions: int) -> Round:
    """A scale and a least value for each feature over so many positions; the last run may be short. [1, tokens, n]."""

    def rounded(x: Floats) -> Floats:
        parts = [
            _rounded(x[:, first : first + positions], bits, axis=1, zero_point=True)
            for first in range(0, x.shape[1], positions)
        ]
        return np.concatenate(parts, axis=1)

    return rounded


def _rounded(x: Floats, bits: int, *, axis: int, zero_point: bool) -> Floats:
    if zero_point:
        low, high = x.min(axis=axis, keepdims=True), x.max(axis=axis, keepdims=True)
        scale = np.maximum((high - low) / np.float32(2**bits - 1), np.float32(1e-12)).astype(np.float16)
        wide = np.maximum(scale.astype(np.float32), np.float32(1e-7))
        return np.clip(np.rint((x - low) / wide), 0, 2**bits - 1) * wide + low
    most = 2 ** (bits - 1) - 1
    scale = (np.abs(x).max(axis=axis, keepdims=True) / np.float32(most)).astype(np.float16).astype(np.float32)
    scale = np.maximum(scale, np.float32(1e-7))
    return np.clip(np.rint(x / scale), -most, most) * scale


def by_token(x: Floats) -> Floats:
    return _rounded(x, 8, axis=-1, zero_point=False)


def static(limit: float, x: Floats) -> Floats:
    """int8 with one scale, what is beyond the limit cut off."""
    scale = np.float32(limit / 127)
    return np.clip(np.rint(x / scale), -127, 127) * scale


def limits_of(x: Floats) -> dict[str, float]:
    """What a static scale may end at, for values that enter a layer."""
    sizes = np.abs(x).ravel()
    counts, edges = np.histogram(sizes, BINS)
    middles = (edges[1:] + edges[:-1]) / 2
    tried = edges[BINS // 32 :: 8]
    errors = [float(counts @ np.square(middles - _on_grid(middles, limit))) for limit in tried]
    return {
        "largest": float(sizes.max()),
        "percentile 99.99": float(np.quantile(sizes, 0.9999)),
        "percentile 99.9": float(np.quantile(sizes, 0.999)),
        "square error": float(tried[int(np.argmin(errors))]),
        "entropy": _least_divergence(counts, edges),
    }


def _on_grid(sizes: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
    return np.minimum(np.rint(sizes / limit * 127), 127) * limit / 127


def _least_divergence(counts: NDArray[np.int64], edges: NDArray[np.float64]) -> float:
    """The limit whose 128 steps have the distribution that diverges least from that of what is cut off there."""
    best, found = np.inf, float(edges[-1])
    for kept in range(128, BINS + 1, 16):
        p = counts[:kept].astype(np.float64)
        p[-1] += counts[kept:].sum()
        parts = np.array_split(np.arange(kept), 128)
        q = np.zeros(kept)
        for part in parts:
            live = counts[part] > 0
            if live.any():
                q[part[live]] = counts[part].sum() / live.sum()
        p /= p.sum()
        q = np.maximum(q / max(q.sum(), 1), 1e-12)
        live = p > 0
        divergence = float((p[live] * np.log(p[live] / q[live])).sum())
        if divergence < best:
            best, found = divergence, float(edges[kept])
    return found


class Runner:
    """Runs windows through the graph in numpy, all weights in memory."""

    def __init__(self, model: Model, weights: Mapping[str, Floats]) -> None:
        self.graph, self._weights = main_graph(model), weights

    def logits(self, tokens: NDArray[np.int64], rounding: Mapping[int, Round]) -> Floats:
        """[tokens, vocabulary] of one window; values by number are rounded as they are made."""
        step = Step(tokens[None], self._weights.__getitem__, lambda name, x: None, frozenset())
        values: dict[int, Floats] = {}
        for statement in self.graph:
            NUMPY.advance(self.graph, [statement], step, values)
            if statement.number in rounding:
                values[statement.number] = rounding[statement.number](values[statement.number])
        return values[self.graph.outputs[LOGITS]][0]


def cache_variants(runner: Runner) -> dict[str, dict[int, Round]]:
    attentions = list(runner.graph.operations(Attention))
    keys, values = ([one.inputs[place] for one in attentions] for place in (1, 2))
    (head,) = {one.spec.head_dim for one in attentions}

    def of(key: Round | None, value: Round | None) -> dict[int, Round]:
        found = dict.fromkeys(keys, key) | dict.fromkeys(values, value)
        return {number: each for number, each in found.items() if each is not None}

    plain, offset = by_group(4, 32, zero_point=False), by_group(4, 32, zero_point=True)
    return {
        "8 bits: keys in groups of 32, values in heads": of(
            by_group(8, 32, zero_point=False), by_group(8, head, zero_point=False)
        ),
        "4 bits, groups of 32, symmetric": of(plain, plain),
        "4 bits, groups of 32, zero point": of(offset, offset),
        "4 bits, groups of 32, zero point: keys alone": of(offset, None),
        "4 bits, groups of 32, zero point: values alone": of(None, offset),
        "4 bits: keys by channel over 32 positions, values in groups": of(by_channel(4, 32), offset),
        "keys 8 bits, values 4 bits, groups of 32": of(by_group(8, 32, zero_point=False), offset),
    }


def activation_variants(runner: Runner, model: Model, calibration: list[list[int]]) -> dict[str, dict[int, Round]]:
    taps = sorted({number for placed in place_blocks(model) for number in placed.taps})
    seen: dict[int, list[Floats]] = {number: [] for number in taps}

    def noted(number: int, x: Floats) -> Floats:
        seen[number].append(x.reshape(-1, x.shape[-1]))
        return x

    for window in calibration:
        runner.logits(np.array(window), {number: partial(noted, number) for number in taps})
    limits = {number: limits_of(np.concatenate(rows)) for number, rows in seen.items()}
    found: dict[str, dict[int, Round]] = {
        "run time, 32 features": dict.fromkeys(taps, by_group(8, 32, zero_point=False)),
        "run time, token": dict.fromkeys(taps, by_token),
    }
    for name in next(iter(limits.values())):
        found[f"static, {name}"] = {number: partial(static, limits[number][name]) for number in taps}
    return found


def prepared(checkpoint: Checkpoint, model: Model, *, smooth: bool) -> tuple[dict[str, Floats], list[list[int]]]:
    source = SourceWeights(model, checkpoint.weight, head_apart=False)
    windows = find_calibration(checkpoint, model, CalibrationSettings(), in_detail=False, threads=1).windows
    weights: Mapping[str, object] = source
    if smooth:
        recipe = read_recipe({"passes": [{"pass": "smooth", "strength": 0.5, "junctions": "layers"}]})
        state = ModelState(checkpoint.config, model, source)
        weights = run_recipe(state, recipe, threads=1, calibration=windows).state.weights
    return {name: np.ascontiguousarray(weights[name].decode()) for name in source}, windows  # type: ignore[attr-defined]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("what", choices=["cache", "activations"])
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    checkpoint = open_checkpoint(given.model)
    model = read_model(checkpoint.config, checkpoint.path)
    weights, calibration = prepared(checkpoint, model, smooth=given.what == "activations")
    runner = Runner(model, weights)
    variants = cache_variants(runner) if given.what == "cache" else activation_variants(runner, model, calibration)
    names = [name for name in variants if not given.only or name in given.only.split(";")]
    tokenizer = checkpoint.tokenizer()
    begin = tokenizer.begin_token if tokenizer.adds_begin_token else None
    ids = tokenizer.encode(python_topics().text, add_special=False)
    cut = cut_windows(ids, window_tokens=given.tokens, windows=given.windows, begin_token=begin)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for window in cut:
        _measure(runner, window, {name: variants[name] for name in names}, found)
    for name, each in found.items():
        kl, agreement = np.array(each).T
        spread = 1.96 * kl.std(ddof=1) / len(kl) ** 0.5 if len(kl) > 1 else float("nan")
        print(f"{name:62} KL {kl.mean():.5f} +- {spread:.5f}  top-1 {100 * agreement.mean():.2f} %", flush=True)


def _measure(
    runner: Runner,
    window: Window,
    variants: Mapping[str, Mapping[int, Round]],
    found: Mapping[str, list[tuple[float, float]]],
) -> None:
    tokens, targets = np.array(window.inputs, np.int64), np.array(window.targets, np.int32)
    reference = runner.logits(tokens, {})
    for name, rounding in variants.items():
        scores = compare_logits(reference, runner.logits(tokens, rounding), targets)
        found[name].append((float(scores.divergence.mean()), float(scores.agreement.mean())))
        print(f"  {window.start:7} {name:62} KL {found[name][-1][0]:.5f}", flush=True)


if __name__ == "__main__":
    main()
