"""Options as values: frozen, checked when they are made, to JSON and back.

Not here: what the options of a thing are. Each value stands beside what it is for: how a model is run
(`backends/options.py`), how tokens are chosen (`runtime/options.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

from honed.errors import ParameterError


class Options:
    """Base of frozen dataclasses whose fields are texts, numbers or None, and which check them.

    The class has `honed.parameters.checks_fields`, so that a field that it does not have is answered with the one that
    is meant.
    """

    @classmethod
    def of(cls, value: Self | None, changes: Mapping[str, Any]) -> Self:
        """A caller's value, None for one that leaves everything open, with the fields of `changes` in place of its own.

        ParameterError for what is no such value, and for names and values of fields.
        """
        if value is None:
            return cls(**changes)
        if not isinstance(value, cls):
            raise ParameterError("options", value, f"must be a honed.{cls.__name__}")
        return replace(value, **changes) if changes else value  # type: ignore[type-var]

    def to_json(self) -> dict[str, Any]:
        """Every field, for a JSON object."""
        return {name: getattr(self, name) for name in self.__match_args__}  # type: ignore[attr-defined]

    @classmethod
    def from_json(cls, value: object) -> Self:
        """What `to_json` gave; fields that are left out have their defaults. ParameterError for anything else."""
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            raise ParameterError("options", value, f"must be an object with the fields of honed.{cls.__name__}")
        return cls(**value)
