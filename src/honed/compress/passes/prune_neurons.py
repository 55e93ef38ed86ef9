"""Takes neurons out of every MLP, the same number everywhere: a plain model with a smaller inner width.

A neuron is a row of gate and up, or of the one matrix before the activation, and a column of down. Which ones go, and
how the others make up for them by new columns of down, is in `removal.py` (after Kurtic et al. 2023, "ZipLM"). Experts
keep theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from honed.compress.base import ModelState
from honed.compress.needs import Needs, Observed
from honed.compress.prunable import find_neurons
from honed.compress.unit_pruning import Plan, UnitSettings, drop_empty_units, empty_units
from honed.errors import ParameterError, UnsupportedError
from honed.models.registry import family_of


class PruneNeuronsSettings(UnitSettings):
    """Settings of the pass `prune_neurons`: `share` of the neurons go. multiple: the width that is left is the nearest
    multiple of it, as kernels work on so many columns at once."""

    kind: Annotated[Literal["prune_neurons"], Field(alias="pass")]
    share: Annotated[float, Field(gt=0, lt=1)] = 0.25
    multiple: Annotated[int, Field(ge=1, le=1024)] = 32


@dataclass(frozen=True)
class PruneNeurons:
    """See `compress.base.Reshaping`."""

    settings: PruneNeuronsSettings

    @property
    def needs(self) -> Needs:
        return self.settings.needs(single=True)

    def apply(self, state: ModelState, observed: Observed, *, threads: int) -> ModelState:
        """`threads` has no effect. Errors: UnsupportedError for a family whose neurons cannot go, ParameterError where
        all or none would stay."""
        plan = self._plan(state)
        emptied = empty_units(plan, state, observed, self.settings)
        return emptied if self.needs.order == "blocks" else drop_empty_units(plan, emptied)

    def finish(self, state: ModelState) -> ModelState:
        return drop_empty_units(self._plan(state), state)

    def _plan(self, state: ModelState) -> Plan:
        family, units = family_of(state.config), find_neurons(state.model)
        if not units:
            raise UnsupportedError(
                f"prune_neurons: no MLP of this {family.model_type} has neurons by themselves (experts keep theirs)"
            )
        widths = sorted({one.count for one in units})
        if len(widths) > 1:
            raise UnsupportedError(
                f"prune_neurons: the MLPs of this {family.model_type} have {' and '.join(map(str, widths))} neurons, "
                "and a config names one number"
            )
        (width,) = widths
        share, multiple = self.settings.share, self.settings.multiple
        keep = round((1 - share) * width / multiple) * multiple
        if not 0 < keep < width:
            what = "none" if keep <= 0 else "all"
            problem = f"leaves {what} of {width} neurons, in multiples of {multiple}; take another share or multiple"
            raise ParameterError("prune_neurons.share", share, problem)
        note = f"{keep} of {width} neurons are left in each of {len(units)} MLPs"
        return Plan(units, keep, {family.sizes.inner: keep}, note)
