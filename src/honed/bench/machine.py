"""What a report says of the machine: its processor by what that can do, never its name or address."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any


def machine() -> dict[str, Any]:
    """The processor as the engine sees it, the system, and versions that speeds depend on."""
    from importlib.metadata import PackageNotFoundError, version

    from honed.native import extension

    versions = {}
    for package in ("honed", "numpy", "torch", "transformers"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "features": extension.features(),
        "system": platform.system(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "versions": versions,
    }


def machine_line(found: Mapping[str, Any]) -> str:
    """The processor for the head of a report: architecture, instruction sets, CPUs that may be used."""
    features = found.get("features", {})
    sets = " ".join(features.get("instruction_sets", ())) or "no further instruction sets"
    return f"{found.get('architecture', 'unknown')}, {sets}, {features.get('allowed_cpus', '?')} CPUs"
