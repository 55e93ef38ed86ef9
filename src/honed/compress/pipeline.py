"""Runs the passes of a recipe, one after the other, and provides what each needs of the data and nothing more."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from honed.compress.base import ModelState
from honed.compress.by_block import apply_by_block
from honed.compress.linears import all_linears
from honed.compress.needs import Inputs, InputStatistics, Lesson, Observed, Statistic
from honed.compress.observe import Tokens, observe, slow_blocks
from honed.compress.recipe import Recipe
from honed.compress.registry import make_pass
from honed.encodings.base import Encoded
from honed.errors import ParameterError

OBSERVED_TOKENS = 65_536
"""Statistics are of about so many where a pass learns, from ten times as many or more."""


@dataclass(frozen=True)
class Compressed:
    """`states`: the model before the first pass and after each. Weights are computed when they are asked for."""

    states: tuple[ModelState, ...]

    @property
    def state(self) -> ModelState:
        """After the last pass."""
        return self.states[-1]

    def in_full(self, name: str) -> Encoded:
        """A weight in full precision, after all passes but those that encode it."""
        return next(state for state in reversed(self.states) if name not in state.schemes).weights[name]


def run_recipe(
    state: ModelState, recipe: Recipe, *, threads: int, calibration: Tokens = (), folder: Path | None = None
) -> Compressed:
    """Chains the passes of a recipe. Nothing is computed yet. `folder`: where passes that train keep what they do.

    ParameterError where a pass needs data and there is no `calibration`, and whatever the passes refuse.
    """
    passes = [make_pass(settings) for settings in recipe.passes]
    # One walk serves all passes whose inputs follow from each other's.
    at_once = [step.needs.statistics for step in passes if step.needs.order == "any"]
    statistics: frozenset[Statistic] = frozenset().union(*at_once)
    states = [state]
    shown = _evenly(calibration) if any(step.needs.teacher for step in passes) else calibration
    for step in passes:
        if (step.needs.statistics or step.needs.teacher) and not calibration:
            problem = f"the pass {step.settings.kind} needs tokens to calibrate on"
            raise ParameterError("calibration", None, problem)
        given = states[-1]
        if step.needs.statistics:
            slow = slow_blocks(given.model)
            given = replace(given, notes=(*given.notes, *(note for note in slow if note not in given.notes)))
        if step.needs.order == "blocks":
            states.append(apply_by_block(step, given, shown, threads=threads))
            continue
        inputs = given.inputs or _measured(given, shown, statistics, threads)
        lesson = Lesson(states[0], calibration, folder) if step.needs.teacher else None
        states.append(step.apply(given, Observed(all_linears(given.model), inputs, lesson), threads=threads))
    return Compressed(tuple(states))


def _evenly(windows: Tokens) -> Tokens:
    """Of what a pass learns from, as much as the others need to be told of."""
    step = max(1, sum(map(len, windows)) // OBSERVED_TOKENS)
    return windows[::step]


def _measured(state: ModelState, calibration: Tokens, statistics: Set[Statistic], threads: int) -> Inputs:
    @cache
    def measure() -> InputStatistics:
        return observe(state.model, state.weights, calibration, statistics, threads=threads)

    return measure
