"""What a recipe may say of which weights become zero: settings that every pass which prunes single weights takes.

Not here: by what they are chosen, which is the matter of each pass, and how a choice is made exact (`masks.py`).
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import Field, model_validator

from honed.compress.settings import PassSettings, Settings

UNSTRUCTURED = "unstructured"
_LONGEST_RUN = 32


class ShareOverride(Settings):
    """Another share for the modules whose name (without `.weight`) matches a shell pattern; the first match wins. 0
    leaves them alone."""

    modules: Annotated[str, Field(min_length=1)]
    share: Annotated[float, Field(ge=0, lt=1)]


class PruningSettings(PassSettings):
    """`share` of the weights of a layer become zero; null is a half, or what the pattern says.

    pattern: `unstructured`, or N:M, where of each M inputs in a row of a matrix at most N are left, as 2:4. The head is
    left alone unless an override names it (`lm_head`).
    """

    share: Annotated[float, Field(gt=0, lt=1)] | None = None
    pattern: Annotated[str, Field(pattern=r"^(unstructured|[1-9][0-9]?:[1-9][0-9]?)$")] = UNSTRUCTURED
    overrides: tuple[ShareOverride, ...] = ()

    @model_validator(mode="after")
    def _one_share(self) -> PruningSettings:
        if self.run is None:
            return self
        left, of = self.run
        if not left < of <= _LONGEST_RUN:
            raise ValueError(f"pattern {self.pattern}: must leave fewer than it counts, of {_LONGEST_RUN} at most")
        for share in (self.share, *(override.share for override in self.overrides if override.share)):
            if share is not None and abs(share - self.usual_share) > 1e-6:
                raise ValueError(f"share {share:g}: the pattern {self.pattern} makes {self.usual_share:g} zero")
        return self

    @property
    def run(self) -> tuple[int, int] | None:
        """N and M of the pattern."""
        if self.pattern == UNSTRUCTURED:
            return None
        left, of = self.pattern.split(":")
        return int(left), int(of)

    @property
    def usual_share(self) -> float:
        """That of layers which no override names."""
        if self.run is not None:
            left, of = self.run
            return 1 - left / of
        return 0.5 if self.share is None else self.share

    def share_of(self, module: str, *, head: bool) -> float:
        """Of a linear layer by its name without `.weight`; 0 where it is left alone."""
        for override in self.overrides:
            if fnmatchcase(module, override.modules):
                return override.share
        return 0.0 if head else self.usual_share
