"""The targets by name: every module of the folder `targets`, but those whose names begin with an underscore."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from fuzzing.target import Target

_TARGETS = Path(__file__).resolve().parents[1] / "targets"


def names() -> list[str]:
    return sorted(path.stem for path in _TARGETS.glob("*.py") if not path.stem.startswith("_"))


def find(name: str) -> Target:
    if not (_TARGETS / f"{name}.py").is_file():
        sys.exit(f"target {name!r}: must be one of {', '.join(names())}")
    module = importlib.import_module(f"targets.{name}")
    target = module.TARGET
    assert isinstance(target, Target)
    assert target.name == name
    return target
