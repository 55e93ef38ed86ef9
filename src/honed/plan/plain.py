"""What every record of a plan can do, written once.

A frozen dataclass generates equality, hash and text anew for each class. A plan has forty of them, and compiling those
methods was most of the time that importing them took, at every start.
"""

from __future__ import annotations


class Plain:
    """Base of dataclasses declared with `frozen=True, eq=False, repr=False`: compares and prints all fields."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *self.__dict__.values()))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"{type(self).__name__}({fields})"
