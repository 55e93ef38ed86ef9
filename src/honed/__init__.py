"""The public API, nothing else: names are looked up at their first use, so that importing honed costs nothing.

import honed

with honed.load("smollm2") as model:
    print(model.generate("The capital of France is", max_tokens=24).text)
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from honed import errors as errors
    from honed.api.compress import compress as compress
    from honed.api.evaluate import evaluate as evaluate
    from honed.api.generation import Generation as Generation
    from honed.api.language_model import LanguageModel as LanguageModel
    from honed.api.load import load as load

__version__ = "0.1.0"

_HOMES = {
    "Generation": "honed.api.generation",
    "LanguageModel": "honed.api.language_model",
    "compress": "honed.api.compress",
    "evaluate": "honed.api.evaluate",
    "load": "honed.api.load",
}

__all__ = ["Generation", "LanguageModel", "__version__", "compress", "errors", "evaluate", "load"]


def __getattr__(name: str) -> Any:
    if name == "errors":
        return importlib.import_module("honed.errors")
    if name not in _HOMES:
        raise AttributeError(f"module 'honed' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


class _Package(ModuleType):
    """Keeps `honed.compress` and `honed.evaluate` the verbs that they are documented to be.

    Both are names of folders too, and importing a folder binds it in its parent. `from honed.compress.x import y`
    does not look there, so nothing is lost.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
