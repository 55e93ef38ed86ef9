"""Puts the extension that was built with sanitizers in the place of the installed one, in this process and its children.

For `make sanitize-python`, which sets PYTHONPATH to this folder and HONED_SANITIZED to the module.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec


class _Sanitized:
    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        module = os.environ.get("HONED_SANITIZED")
        if name != "honed._native" or module is None:
            return None
        return importlib.util.spec_from_file_location(name, module)


sys.meta_path.insert(0, _Sanitized)  # type: ignore[arg-type]
