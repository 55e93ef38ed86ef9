"""Mixed precision: which layers are stored in which of several ways, so that the model loses least within a budget.

What each way costs is measured (`sensitivity.py`): the KL of the model where one group of layers is stored so. As
errors of groups add up nearly, the best choice under a budget of bytes or of decoding time is a knapsack, solved
exactly (`knapsack.py`; an integer program as in HAWQ-V3, Yao et al. 2021, with measured KL in place of curvatures). The
pass changes no weight: the one that encodes, behind it in a recipe, stores each layer as was chosen and rounds it in
its own way.

Unlike other passes it computes when it is applied, since what schemes weights have must be known before any is stored.
While a run is only planned there is no text, and what takes most bytes within the budget is taken for the choice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from honed.backends.native_costs import Costs, open_costs
from honed.compress.base import ModelState
from honed.compress.knapsack import Option, least_cost
from honed.compress.layer_groups import LayerGroup, find_layer_groups
from honed.compress.layer_settings import Setting
from honed.compress.needs import Needs, Observed
from honed.compress.sensitivity import TOKENS, Choice, Sensitivity, measure_sensitivity, some_windows
from honed.compress.sensitivity_plot import plot
from honed.compress.settings import PassSettings, Settings
from honed.errors import ParameterError, UnsupportedError
from honed.models.recorded import main_graph
from honed.ops.table import ExpertLinear

TABLE, PICTURE = "sensitivity.json", "sensitivity.svg"
PROMPT_ROWS = 512
_NANOSECONDS = 1e9


class Budget(Settings):
    """Exactly one of them. bits: of a weight on average, scales and all, over the layers that are chosen for. bytes: of
    all of those. decode_us, prefill_us: microseconds of this machine for their products with one row, or with the 512
    of a prompt, by measured times (`backends/native_costs.py`)."""

    bits: Annotated[float, Field(gt=0, le=32)] | None = None
    bytes: Annotated[int, Field(gt=0)] | None = None
    decode_us: Annotated[float, Field(gt=0)] | None = None
    prefill_us: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Budget:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            names = ", ".join(type(self).model_fields)
            raise ValueError(f"exactly one of {names} must be given, not {', '.join(given) or 'none'}")
        return self


class MixedSettings(PassSettings):
    """Settings of the pass `mixed`.

    candidates: what is chosen from for each group of layers: settings as of a pass that encodes, or `dense`. modules: a
    shell pattern of those that are chosen for; others are stored as the pass behind says. tokens: of the calibration
    text that KL is measured on, at most.
    """

    needs_encoding: ClassVar[bool] = True

    kind: Annotated[Literal["mixed"], Field(alias="pass")]
    candidates: Annotated[tuple[Setting | Literal["dense"], ...], Field(min_length=2, max_length=16)]
    budget: Budget
    modules: Annotated[str, Field(min_length=1)] = "*"
    tokens: Annotated[int, Field(ge=64, le=1 << 20)] = TOKENS


@dataclass(frozen=True)
class Mixed:
    """See `compress.base.Pass`. costs: where times are from, for a budget of them."""

    settings: MixedSettings
    needs: ClassVar[Needs] = Needs(frozenset({"windows"}))
    costs: Callable[[], Costs] = open_costs

    def apply(self, state: ModelState, observed: Observed, *, threads: int) -> ModelState:
        """Measures, which takes minutes. ParameterError for a budget that nothing fits, and where no layer is chosen
        for; UnsupportedError for a model that the native engine does not run, or that gives no logits."""
        groups = self._groups(state)
        windows = some_windows(observed.windows, self.settings.tokens) if observed.windows else ()
        table = measure_sensitivity(
            state.model, state.weights, groups, self.settings.candidates, windows, threads=threads
        )
        chosen = self._chosen(state, table)
        assigned = {
            name: self.settings.candidates[number]
            for group, number in zip(groups, chosen, strict=True)
            for name in group.names
        }
        return replace(
            state,
            assigned={**state.assigned, **assigned},
            files={**state.files, TABLE: table.to_bytes(chosen), PICTURE: plot(table, chosen).encode()},
            notes=(*state.notes, _told(table, chosen)),
        )

    def _groups(self, state: ModelState) -> tuple[LayerGroup, ...]:
        """A head without weights of its own is not encoded, and nothing is chosen for it."""
        groups = tuple(
            group
            for group in find_layer_groups(state.model)
            if all(
                name in state.weights and fnmatchcase(name.removesuffix(".weight"), self.settings.modules)
                for name in group.names
            )
        )
        if not groups:
            raise ParameterError("modules", self.settings.modules, "matches no group of linear layers of the model")
        return groups

    def _chosen(self, state: ModelState, table: Sensitivity) -> tuple[int, ...]:
        budget = self.settings.budget
        for name, microseconds, rows in (
            ("budget.decode_us", budget.decode_us, 1),
            ("budget.prefill_us", budget.prefill_us, PROMPT_ROWS),
        ):
            if microseconds is None:
                continue
            if any(isinstance(statement.operation, ExpertLinear) for statement in main_graph(state.model)):
                raise UnsupportedError("a budget of time is for models without experts; give bits or bytes")
            costs = self.costs()
            times = [
                [_nanoseconds(costs, group, choice, rows) for choice in choices]
                for group, choices in zip(table.groups, table.choices, strict=True)
            ]
            return _within(table, times, round(microseconds * 1e3), name, 1e3)
        sizes = [[choice.bytes for choice in choices] for choices in table.choices]
        if budget.bytes is not None:
            return _within(table, sizes, budget.bytes, "budget.bytes", 1)
        assert budget.bits is not None
        weights = sum(group.weights for group in table.groups)
        return _within(table, sizes, int(budget.bits * weights / 8), "budget.bits", weights / 8)


def _within(table: Sensitivity, taken: Sequence[Sequence[int]], budget: int, name: str, unit: float) -> tuple[int, ...]:
    items = [
        [Option(weight, choice.divergence) for weight, choice in zip(weights, choices, strict=True)]
        for weights, choices in zip(taken, table.choices, strict=True)
    ]
    least = sum(map(min, taken))
    if least > budget:
        raise ParameterError(name, budget / unit, f"must be at least {least / unit:.6g}, the least of these candidates")
    return least_cost(items, budget)


def _nanoseconds(costs: Costs, group: LayerGroup, choice: Choice, rows: int) -> int:
    """Of rows through a group, which is one matrix where its weights are stored alike."""
    (form, *others) = {scheme.run_as("auto") for scheme in choice.schemes.values()}
    if others:
        raise UnsupportedError(f"{group.label}: is stored as {choice.label}, and has no time of one kind")
    return round(costs.of(group.shape, form, rows) * _NANOSECONDS)


def _told(table: Sensitivity, chosen: Sequence[int]) -> str:
    picked = [choices[number] for choices, number in zip(table.choices, chosen, strict=True)]
    weights: Counter[str] = Counter()
    for group, choice in zip(table.groups, picked, strict=True):
        weights[choice.label] += group.weights
    total = sum(weights.values())
    shares = ", ".join(f"{100 * count / total:.0f} % {label}" for label, count in weights.most_common())
    bits = 8 * sum(choice.bytes for choice in picked) / total
    return (
        f"mixed: {bits:.3f} bits a weight ({shares}); KL of its groups alone adds up to "
        f"{sum(choice.divergence for choice in picked):.4g} ({TABLE})"
    )
