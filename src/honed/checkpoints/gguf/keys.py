"""Metadata keys of a model, which begin with the name of its architecture."""

from __future__ import annotations

from dataclasses import dataclass

from honed.checkpoints.gguf.metadata import Metadata
from honed.errors import FormatError, UnsupportedError


@dataclass(frozen=True)
class Keys:
    """Access by what stands behind the architecture. Missing keys are None."""

    metadata: Metadata
    architecture: str

    def name(self, key: str) -> str:
        return f"{self.architecture}.{key}"

    def integer(self, key: str) -> int | None:
        """An integer, or an array with one for each layer that are all the same.

        Errors: FormatError for another type, UnsupportedError for layers that differ.
        """
        name = self.name(key)
        if not self.metadata.is_array(name):
            return self.metadata.integer(name)
        found = self.metadata.integers(name)
        if found is None or not len(found):
            raise FormatError(self.metadata.path, name, "has no values")
        if (found != found[0]).any():
            raise UnsupportedError(f"{self.metadata.path}: {name}: differs from layer to layer, which is not supported")
        return int(found[0])

    def number(self, key: str) -> float | None:
        return self.metadata.number(self.name(key))

    def required(self, key: str) -> int:
        value = self.integer(key)
        if value is None:
            raise FormatError(self.metadata.path, self.name(key), "is missing")
        return value
