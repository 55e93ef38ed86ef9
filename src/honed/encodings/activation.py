"""How the activations in front of a quantized matmul are quantized: int8, symmetric, at run time."""

from __future__ import annotations

from honed.errors import ParameterError
from honed.records import dataclass


@dataclass(frozen=True)
class ActivationScales:
    """One scale for each token (`group` is None), or for each token and run of `group` features."""

    group: int | None = None

    def __post_init__(self) -> None:
        if self.group not in (None, 32, 64, 128):
            raise ParameterError("activation group", self.group, "must be null, 32, 64 or 128")
