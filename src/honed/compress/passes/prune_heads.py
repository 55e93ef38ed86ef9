"""Takes attention heads out of every layer, by whole groups that share keys and values, the same number everywhere.

With a group go its rows of k and v, those of q for its query heads, and its columns of the output. The width of a head
stays, so heads times their width no longer is the width of a row, which the config then says. Which groups go, and how
the others make up for them, is in `removal.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from honed.compress.base import ModelState
from honed.compress.needs import Needs, Observed
from honed.compress.prunable import Heads, find_heads
from honed.compress.unit_pruning import Plan, UnitSettings, drop_empty_units, empty_units
from honed.errors import ParameterError, UnsupportedError
from honed.models.family import Family
from honed.models.registry import family_of


class PruneHeadsSettings(UnitSettings):
    """Settings of the pass `prune_heads`: how many groups stay, or which share of them goes."""

    kind: Annotated[Literal["prune_heads"], Field(alias="pass")]
    groups: Annotated[int, Field(ge=1, le=1024)] | None = None
    share: Annotated[float, Field(gt=0, lt=1)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> PruneHeadsSettings:
        if (self.groups is None) == (self.share is None):
            raise ValueError("needs groups, how many stay, or share, how many go, and not both")
        return self


@dataclass(frozen=True)
class PruneHeads:
    """See `compress.base.Reshaping`."""

    settings: PruneHeadsSettings

    @property
    def needs(self) -> Needs:
        return self.settings.needs(single=False)

    def apply(self, state: ModelState, observed: Observed, *, threads: int) -> ModelState:
        """`threads` has no effect. Errors: UnsupportedError for a family whose heads cannot go, ParameterError where
        all or none would stay."""
        plan = self._plan(state)
        emptied = empty_units(plan, state, observed, self.settings)
        return emptied if self.needs.order == "blocks" else drop_empty_units(plan, emptied)

    def finish(self, state: ModelState) -> ModelState:
        return drop_empty_units(self._plan(state), state)

    def _plan(self, state: ModelState) -> Plan:
        family, found = family_of(state.config), find_heads(state.model)
        units = [heads.units for heads in found if heads.units is not None]
        groups, of_group = _alike(family, found)
        if self.settings.groups is not None:
            keep, field, value = self.settings.groups, "groups", str(self.settings.groups)
        else:
            assert self.settings.share is not None  # checked with the settings
            keep, field, value = round((1 - self.settings.share) * groups), "share", str(self.settings.share)
        if not 0 < keep < groups:
            what = "none" if keep <= 0 else "all"
            raise ParameterError(f"prune_heads.{field}", value, f"leaves {what} of {groups} groups of heads")
        note = f"{keep} of {groups} groups of {of_group} heads are left in each of {len(units)} layers"
        width, heads = units[0].consumer.shape[0], keep * of_group
        if width % heads:
            note += f"; transformers refuses some families (Llama, Gemma) where {width} is no multiple of {heads} heads"
        return Plan(units, keep, _counts(family, found[0], keep), note)


def _alike(family: Family, found: tuple[Heads, ...]) -> tuple[int, int]:
    """How many groups there are in every layer, and heads in each."""
    kind = family.model_type
    if family.sizes.head_dim is None:
        raise UnsupportedError(
            f"prune_heads: heads of a model of the family {kind} fill a row, as its config has no field for their "
            "width, so none can be left out"
        )
    for heads in found:
        if heads.tied is not None:
            raise UnsupportedError(f"prune_heads: the heads of this {kind} are tied to each other: {heads.tied}")
    sizes = {(heads.units.count, heads.of_group) for heads in found if heads.units is not None}
    if len(sizes) != 1:
        raise UnsupportedError(f"prune_heads: the layers of this {kind} differ in their heads")
    return sizes.pop()


def _counts(family: Family, heads: Heads, keep: int) -> dict[str, Any]:
    names, counts = family.sizes, dict[str, Any]()
    counts[names.heads] = keep * heads.of_group
    if names.kv_heads is not None:
        counts[names.kv_heads] = keep
    if names.head_dim is not None:
        counts[names.head_dim] = heads.width
    return counts
