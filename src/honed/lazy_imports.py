"""Libraries that are imported at their first use, not at the start of the process.

`from honed.lazy_imports import numpy as np` and use it as always. numpy takes a third of a start, and one that finds
its weights packed and chooses greedily needs no array of it. So what runs on that way takes nothing from `np` while a
module is imported: no default values, no constants, no aliases of array types but under TYPE_CHECKING.
typer is needed to explain a command line, not to read a plain one (`cli/quick.py`).
"""

from __future__ import annotations

import importlib
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

__all__ = ["numpy", "typer"]

if TYPE_CHECKING:
    import numpy
    import typer


class _Lazy:
    """Stands for a module. Attributes are kept here, so that the second use of one is a plain look-up."""

    def __init__(self, name: str) -> None:
        self._module_name = name

    def __getattr__(self, attribute: str) -> Any:
        if self._module_name not in sys.modules:
            # On a thread, where no Ctrl-C ends it half done: numpy cannot be imported a second time.
            thread = threading.Thread(target=self._import)
            thread.start()
            thread.join()
        value = getattr(importlib.import_module(self._module_name), attribute)
        setattr(self, attribute, value)
        return value

    def _import(self) -> None:
        with suppress(Exception):  # raised again where the module is asked for
            importlib.import_module(self._module_name)


if not TYPE_CHECKING:
    numpy = _Lazy("numpy")
    typer = _Lazy("typer")
