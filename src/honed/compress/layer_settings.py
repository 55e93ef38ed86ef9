"""What a recipe may say of how linear layers are stored: settings that every pass which encodes them takes.

Not here: the scheme that follows from them for a weight (`layer_schemes.py`), and how it is rounded to it, which such
passes differ in.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from glob import escape
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from honed.compress.settings import PassSettings, Settings
from honed.encodings.codebook import TableChoice
from honed.encodings.int4 import Offset
from honed.encodings.scheme import Group
from honed.models.factored import layer_of


class WeightSettings(Settings):
    """8 bits are symmetric, per channel (`group` null) or in groups; 4 bits are in groups, and may be searched.

    offset `source` takes minimums where the source file has them, the symmetric form where it is 4-bit and symmetric,
    and zero points anywhere else: weights that lie on a 4-bit grid already are not rounded a second time. codebook
    names sixteen values that 4-bit codes point to, instead of a grid with an offset; those that are `learned` fit best
    the weights of all layers with one input, which run as one matrix only if they share them. sparse: that share of
    8-bit codes is zero and not stored, as a pass before has pruned as much. It makes files smaller and nothing faster.
    """

    bits: Literal[8, 4]
    group: Group | None = 32
    offset: Offset | Literal["source"] = "symmetric"
    codebook: TableChoice | None = None
    search: bool = False
    sparse: Annotated[float, Field(gt=0, lt=1)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> WeightSettings:
        if self.bits == 4 and self.group is None:
            raise ValueError("4-bit weights need a group of 32, 64 or 128")
        if self.bits == 8 and self.offset != "symmetric":
            raise ValueError(f"8-bit weights are symmetric; remove offset: {self.offset}")
        if self.codebook is not None and (self.bits == 8 or self.offset != "symmetric"):
            raise ValueError("a codebook is for 4 bits, and takes no offset")
        if self.sparse is not None and (self.bits == 4 or self.group is None):
            raise ValueError("sparse is for 8 bits in groups")
        if self.bits == 8 and self.search:
            raise ValueError("search is for 4 bits only; at 8 bits it gains nothing")
        return self


class ActivationSettings(Settings):
    """int8 at run time: one scale for each token (`group` null) or for each run of `group` features."""

    group: Group | None = None


class Setting(Settings):
    """How one linear layer is stored, and how its input is quantized at run time."""

    weights: WeightSettings
    activations: ActivationSettings = ActivationSettings()

    @model_validator(mode="after")
    def _same_group(self) -> Setting:
        if self.activations.group is not None and self.weights.group not in (None, self.activations.group):
            raise ValueError(
                f"activations.group {self.activations.group} must be null or equal weights.group {self.weights.group}"
            )
        return self


class Override(Settings):
    """A setting for the modules whose name (without `.weight`) matches a shell pattern; the first match wins. A factor
    goes by the name of its layer too."""

    modules: Annotated[str, Field(min_length=1)]
    setting: Setting | Literal["dense"]


class EncodingSettings(PassSettings, Setting):
    """Those of a pass that encodes linear layers, which is the last of a recipe."""

    overrides: tuple[Override, ...] = ()

    def with_assigned(self, assigned: Mapping[str, Setting | Literal["dense"]]) -> Self:
        """The same with settings of single weights, by name, behind the overrides that it has."""
        own = tuple(
            Override(modules=escape(name.removesuffix(".weight")), setting=setting)
            for name, setting in assigned.items()
        )
        return self.model_copy(update={"overrides": (*self.overrides, *own)})

    def for_module(self, name: str) -> Setting | None:
        """The setting of a module, or None where it stays dense."""
        for override in self.overrides:
            if any(fnmatchcase(called, override.modules) for called in (name, layer_of(name))):
                return None if override.setting == "dense" else override.setting
        return self
