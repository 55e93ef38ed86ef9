"""Runs the passes of a recipe, one after the other, and provides what each needs of the data and nothing more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from honed.compress.base import ModelState, Pass
from honed.compress.by_block import apply_by_block
from honed.compress.layer_settings import EncodingSettings
from honed.compress.linears import all_linears
from honed.compress.needs import (
    GradientMean,
    Gradients,
    Inputs,
    InputStatistics,
    Lesson,
    Observed,
    Statistic,
    no_gradients,
)
from honed.compress.observe import Tokens, observe, slow_blocks
from honed.compress.progress_store import MadeProgress, ProgressStore
from honed.compress.recipe import Recipe
from honed.compress.registry import make_pass
from honed.encodings.base import Encoded
from honed.errors import ParameterError

OBSERVED_TOKENS = 65_536
"""Statistics are of about so many where a pass learns, from ten times as many or more."""


@dataclass(frozen=True)
class Compressed:
    """`states`: the model before the first pass and after each. Weights are computed when they are asked for. `passes`:
    the names of the passes."""

    states: tuple[ModelState, ...]
    passes: tuple[str, ...]

    @property
    def state(self) -> ModelState:
        """After the last pass."""
        return self.states[-1]

    def in_full(self, name: str) -> Encoded:
        """A weight in full precision, after all passes but those that encode it."""
        return next(state for state in reversed(self.states) if name not in state.schemes).weights[name]

    def encoded_by(self, name: str) -> str:
        """The pass that encodes a weight."""
        return next(step for step, state in zip(self.passes, self.states[1:], strict=True) if name in state.schemes)


def run_recipe(
    state: ModelState,
    recipe: Recipe,
    *,
    threads: int,
    calibration: Tokens = (),
    store: ProgressStore | None = None,
    progress: MadeProgress | None = None,
    planning: bool = False,
) -> Compressed:
    """Chains the passes of a recipe. Nothing is computed yet, but by passes that ask for the text itself; with
    `planning`, where `calibration` stands for a text that is not known yet, they are not told of it.

    store: where what passes make is kept and found again. ParameterError where a pass needs data and there is no
    `calibration`, and whatever the passes refuse.
    """
    passes = [make_pass(settings) for settings in recipe.passes]
    states = [state]
    shown = _evenly(calibration) if any(step.needs.teacher for step in passes) else calibration
    for number, step in enumerate(passes):
        if (step.needs.statistics or step.needs.teacher) and not calibration:
            problem = f"the pass {step.settings.kind} needs tokens to calibrate on"
            raise ParameterError("calibration", None, problem)
        given = states[-1]
        if step.needs.statistics - {"windows"}:
            slow = slow_blocks(given.model)
            given = replace(given, notes=(*given.notes, *(note for note in slow if note not in given.notes)))
        kept = None if store is None else store.of_pass(number)
        if step.needs.order == "blocks":
            told = _as_assigned(step, given)
            states.append(apply_by_block(told, given, shown, threads=threads, store=kept, progress=progress))
            continue
        # One walk serves this pass and all behind it whose inputs follow from each other's.
        at_once = [later.needs.statistics for later in passes[number:] if later.needs.order == "any"]
        inputs = given.inputs or _measured(given, shown, frozenset().union(*at_once), threads)
        observed = Observed(
            all_linears(given.model),
            inputs,
            directory=None if kept is None else kept.directory,
            windows=shown if "windows" in step.needs.statistics and not planning else (),
            gradients=_gradients(given, shown, threads) if "gradient" in step.needs.statistics else no_gradients,
            lesson=Lesson(states[0], calibration, None if kept is None else kept.directory())
            if step.needs.teacher
            else None,
        )
        states.append(_as_assigned(step, given).apply(given, observed, threads=threads))
        if states[-1].kept_ids is not None and given.kept_ids is None:
            shown = _renumbered(shown, states[-1].kept_ids)
            calibration = _renumbered(calibration, states[-1].kept_ids)
    return Compressed(tuple(states), tuple(step.settings.kind for step in passes))


def _as_assigned(step: Pass, state: ModelState) -> Pass:
    """The pass, storing weights as one before it chose where it encodes."""
    settings = step.settings
    if not state.assigned or not isinstance(settings, EncodingSettings):
        return step
    return make_pass(settings.with_assigned(state.assigned))


def _renumbered(windows: Tokens, kept: Sequence[int]) -> Tokens:
    """The same text in the ids of a model that has these tokens left, all of its own among them."""
    places = {number: place for place, number in enumerate(kept)}
    return [[places[token] for token in window] for window in windows]


def _evenly(windows: Tokens) -> Tokens:
    """Of what a pass learns from, as much as the others need to be told of."""
    step = max(1, sum(map(len, windows)) // OBSERVED_TOKENS)
    return windows[::step]


def _measured(state: ModelState, calibration: Tokens, statistics: Set[Statistic], threads: int) -> Inputs:
    @cache
    def measure() -> InputStatistics:
        return observe(state.model, state.weights, calibration, statistics, threads=threads)

    return measure


def _gradients(state: ModelState, calibration: Tokens, threads: int) -> Gradients:
    def measure(names: frozenset[str], mean: GradientMean) -> Mapping[str, NDArray[np.float32]]:
        from honed.compress.gradients import weight_gradients  # torch, which a compression may do without

        return weight_gradients(state.model, state.weights, calibration, names, mean, threads=threads)

    return measure
