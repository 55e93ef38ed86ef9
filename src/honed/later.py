"""Libraries that are imported at their first use, not at the start of the process.

`from honed.later import numpy as np` and use it as always. numpy takes a third of a start, and one that finds its
weights packed and chooses greedily needs no array of it. So what runs on that way takes nothing from `np` while a
module is imported: no default values, no constants, no aliases of array types but under TYPE_CHECKING.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__all__ = ["numpy"]

if TYPE_CHECKING:
    import numpy


class _Later:
    """Stands for a module. Attributes are kept here, so that the second use of one is a plain look-up."""

    def __init__(self, name: str) -> None:
        self._module_name = name

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(importlib.import_module(self._module_name), attribute)
        setattr(self, attribute, value)
        return value


if not TYPE_CHECKING:
    numpy = _Later("numpy")
