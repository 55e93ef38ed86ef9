"""How a caller asks for the next token to be chosen, as one value: what it leaves open is settled by the checkpoint.

Not here: the settled settings, which the engine runs with (`Sampling` in `request.py`), and what they do
(`sampling.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypedDict

from honed.errors import ParameterError
from honed.options import Options
from honed.parameters import checks_fields
from honed.records import dataclass
from honed.runtime.request import RepetitionScope, Sampling

_ASK_FOR_SAMPLING = ("top_k", "top_p", "min_p", "seed")


class SamplingKeywords(TypedDict, total=False):
    """The fields of `SamplingOptions`, for functions that take them as keywords."""

    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    repetition_penalty: float | None
    seed: int | None
    repetition_scope: RepetitionScope | None
    presence_penalty: float | None
    frequency_penalty: float | None
    dry_multiplier: float | None
    dry_base: float | None
    dry_allowed_length: int | None
    dry_range: int | None
    dry_breakers: tuple[int, ...] | None
    logit_bias: tuple[tuple[int, float], ...] | None
    logprobs: int | None


@checks_fields
@dataclass(frozen=True)
class SamplingOptions(Options):
    """The fields of `Sampling`, explained there. None leaves one open; out of range: ParameterError."""

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    repetition_scope: RepetitionScope | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    dry_multiplier: float | None = None
    dry_base: float | None = None
    dry_allowed_length: int | None = None
    dry_range: int | None = None
    dry_breakers: tuple[int, ...] | None = None
    logit_bias: tuple[tuple[int, float], ...] | None = None
    logprobs: int | None = None

    def __post_init__(self) -> None:
        checked = Sampling(**self.chosen)
        self.__dict__.update({name: getattr(checked, name) for name in self.chosen})

    @property
    def chosen(self) -> dict[str, Any]:
        """The fields that are not left open."""
        return {name: value for name, value in self.to_json().items() if value is not None}

    def over(self, defaults: Sampling) -> Sampling:
        """These over the defaults of a checkpoint. Who gives top_k, top_p, min_p or a seed wants to sample, so where
        the defaults are greedy and nothing is said of temperature, it is 1 then."""
        chosen = self.chosen
        if defaults.temperature == 0 and any(name in chosen for name in _ASK_FOR_SAMPLING):
            chosen = {"temperature": 1.0, **chosen}
        return replace(defaults, **chosen)


def settled(asked: SamplingOptions | Sampling | None, changes: Mapping[str, Any], defaults: Sampling) -> Sampling:
    """What is run: a `Sampling` leaves nothing open, and `SamplingOptions`, or none, leave the rest to the defaults.
    `changes` are fields that were given by keyword beside it, and count before its own."""
    if isinstance(asked, Sampling):
        return replace(asked, **SamplingOptions(**changes).chosen)
    if asked is not None and not isinstance(asked, SamplingOptions):
        raise ParameterError("sampling", asked, "must be a honed.SamplingOptions, a honed.Sampling or None")
    return SamplingOptions.of(asked, changes).over(defaults)
