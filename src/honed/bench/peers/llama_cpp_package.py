"""The Python package of llama.cpp: its version, how it is compiled, and its C functions.

Nothing of that package but the declarations of C functions is loaded: no sampling, templates or other start-up cost in
Python counts against llama.cpp. Also here: what the adapter and llama.cpp's own benchmarks must have alike. Not here:
either of those (`llama_cpp.py`, `llama_cpp_tools.py`).
"""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import subprocess
import sys
import types
from typing import Any

from honed.bench.peers.base import PeerError
from honed.bench.peers.environment import Environment, Install

VERSION = "0.3.36"
MICRO_BATCH = 512
PADDING = 256
"""llama.cpp rounds the positions of a sequence up to this many."""
BUILD = {
    "GGML_NATIVE": "ON",
    "GGML_LLAMAFILE": "ON",
    # The pool of the adapter is ggml's own; with OpenMP it would be ignored, and clang often lacks the library.
    "GGML_OPENMP": "OFF",
    "CMAKE_BUILD_TYPE": "Release",
}
"""Settings of cmake that decide about speed: those of the package, and of the programs in `llama_cpp_tools.py`."""
_PACKAGE_BUILD = {**BUILD, "LLAVA_BUILD": "OFF", "LLAMA_BUILD_COMMON": "OFF"}


def cannot_compile() -> str | None:
    """Why this machine cannot compile it, to be put after a name; None where it can."""
    if shutil.which("clang++") is not None:
        return None
    if shutil.which("c++") is None and shutil.which("g++") is None:
        return " is compiled here and needs a C++ compiler: install clang"
    from honed.native import extension

    version = _default_compiler_version()
    if version == 12 and any("amx" in name for name in extension.features()["instruction_sets"]):
        return ": what gcc 12 makes of its AMX code crashes; install clang"
    return None


def environment() -> Environment:
    """Compiled with clang where there is one: its code is at least as fast, and gcc 12's for AMX crashes."""
    variables = {
        "CMAKE_ARGS": " ".join(f"-D{name}={value}" for name, value in _PACKAGE_BUILD.items()),
        **compiler_variables(),
    }
    # A wheel in pip's cache may have been compiled with other settings.
    fresh = ("--no-cache-dir", "--no-binary", "llama-cpp-python")
    return Environment(
        "llama.cpp",
        (
            Install(("gguf==0.19.0", "numpy==2.4.6")),
            Install((f"llama-cpp-python=={VERSION}",), options=fresh, variables=variables),
        ),
        depends_on=processor_flags(),
        remark="compiles, about ten minutes, once",
    )


def compiler_variables() -> dict[str, str]:
    """What tells a build to take clang, where it is there."""
    found = shutil.which("clang") is not None and shutil.which("clang++") is not None
    return {"CC": "clang", "CXX": "clang++"} if found else {}


def processor_flags() -> tuple[str, ...]:
    """What code that is compiled for this processor depends on."""
    from honed.native import extension

    return tuple(extension.features()["instruction_sets"])


def _default_compiler_version() -> int | None:
    """Major version of g++, None where that cannot be told."""
    try:
        text = subprocess.run(["g++", "-dumpversion"], capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return int(text.split(".")[0]) if text.split(".")[0].strip().isdigit() else None


def bindings() -> Any:
    """The module with the declarations of llama.h, without the package around it."""
    found = importlib.util.find_spec("llama_cpp")
    if found is None or found.submodule_search_locations is None:
        raise PeerError("llama_cpp is not installed in this environment")
    package = types.ModuleType("llama_cpp")
    package.__path__ = list(found.submodule_search_locations)
    sys.modules["llama_cpp"] = package
    return importlib.import_module("llama_cpp.llama_cpp")
