"""`honed doctor`: what this machine and this installation offer, and what stands in the way of speed."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from honed.cli.output import print_json, print_pairs
from honed.errors import HonedError
from honed.version import __version__

OPTIONAL = ("torch", "transformers", "compressed_tensors", "gguf")


def examine() -> dict[str, Any]:
    """Everything the verb reports. Nothing here starts work or touches the network."""
    import importlib.metadata

    from honed.checkpoints.source import cache_directory
    from honed.native import extension

    def version(package: str) -> str | None:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return None

    features = extension.features()
    isas = extension.isas()
    return {
        "honed": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "features": features,
        "isas": isas,
        "isa": isas[0],
        "threads": extension.default_threads(),
        "memory_bytes": _memory_bytes(),
        "cache_directory": _text_of(cache_directory),
        "optional": {package: version(package.replace("_", "-")) for package in OPTIONAL},
        "advice": _advice(isas, features["instruction_sets"]),
    }


def _text_of(directory: Callable[[], object]) -> str:
    """Where it is, or why it is nowhere."""
    try:
        return str(directory())
    except (HonedError, RuntimeError, OSError) as error:
        return f"none: {error}"


def _memory_bytes() -> int | None:
    import os

    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def _advice(isas: list[str], processor: list[str]) -> list[str]:
    found = []
    if isas[0] == "portable":
        found.append(
            f"no vector kernels for this {platform.machine()} processor: portable kernels are correct but slow"
        )
    elif isas[0] == "avx2":
        found.append("AVX2 without VNNI: int8 prefill is bounded by 16-bit multiplies; decode is bounded by memory")
    if "amx_int8" in processor and "amx" not in isas:
        found.append(
            "the processor has AMX, but its tile registers are refused by the system or not in this build: "
            "int8 prefill runs on AVX-512 VNNI"
        )
    if sys.platform != "linux":
        found.append("only Linux is tested")
    return found


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what this machine and installation offer."""
    report = examine()
    if as_json:
        print_json(report)
        return
    optional = ", ".join(f"{name} {version}" for name, version in report["optional"].items() if version) or "none"
    memory = report["memory_bytes"]
    print_pairs(
        "honed doctor",
        {
            "honed": report["honed"],
            "python": f"{report['python']} on {report['machine']}",
            "instruction set": f"{report['isa']} (available: {', '.join(report['isas'])})",
            "threads": str(report["threads"]),
            "memory": f"{memory / 2**30:.1f} GiB" if memory else "unknown",
            "cache": report["cache_directory"],
            "optional packages": optional,
            **{f"advice {i + 1}": text for i, text in enumerate(report["advice"])},
        },
    )
