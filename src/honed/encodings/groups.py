"""How many inputs share a scale: the sizes that kernels have, and how one is read from a file."""

from __future__ import annotations

from typing import Literal, get_args

from honed.errors import ParameterError

Group = Literal[32, 64, 128]
GROUPS: tuple[Group, ...] = get_args(Group)


def required_group(value: object) -> Group:
    """A group size; ParameterError for anything else."""
    for group in GROUPS:
        if value == group and not isinstance(value, bool):
            return group
    raise ParameterError("group", value, "must be 32, 64 or 128")


def as_group(value: object) -> Group | None:
    """A group size or None; ParameterError for anything else."""
    return None if value is None else required_group(value)


def count_groups(width: int, group: int) -> int:
    """Groups of a row; the last one may be short."""
    return -(-width // group)


def activation_text(group: int | None) -> str:
    return "activations per token" if group is None else f"activations in groups of {group}"
