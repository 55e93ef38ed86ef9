from __future__ import annotations

import shutil
from typing import Any

import pytest

from honed.bench.peers import find_peer, llama_cpp_package
from honed.bench.peers.base import PeerError
from honed.bench.peers.llama_cpp_package import bindings, environment
from honed.native import extension


def compilers(monkeypatch: pytest.MonkeyPatch, *present: str) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if name in present else None)


def with_features(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    class Extension:
        @staticmethod
        def features() -> dict[str, Any]:
            return {**extension.features(), "instruction_sets": list(names)}

    monkeypatch.setattr("honed.native.extension", Extension)


def test_clang_is_taken_where_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    compilers(monkeypatch, "clang", "clang++", "g++")
    with_clang = environment()
    assert with_clang.installs[-1].variables["CC"] == "clang"
    assert "-DGGML_NATIVE=ON" in with_clang.installs[-1].variables["CMAKE_ARGS"]
    compilers(monkeypatch, "g++")
    assert "CC" not in environment().installs[-1].variables
    assert environment().directory_name != with_clang.directory_name


def test_environment_of_another_processor_is_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    names = set()
    for features in ((), ("avx2",), ("avx2", "avx512f")):
        with_features(monkeypatch, *features)
        names.add(environment().directory_name)
    assert len(names) == 3


@pytest.mark.parametrize(
    ("present", "gcc", "features", "reason"),
    [
        (("clang++",), None, ("amx_int8",), None),
        ((), None, (), " is compiled here and needs a C++ compiler: install clang"),
        (("g++",), 12, ("avx2",), None),
        (("g++",), 12, ("avx2", "amx_int8"), ": what gcc 12 makes of its AMX code crashes; install clang"),
        (("g++",), 13, ("avx2", "amx_int8"), None),
    ],
)
def test_compilers_that_cannot_do_it(
    present: tuple[str, ...],
    gcc: int | None,
    features: tuple[str, ...],
    reason: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compilers(monkeypatch, *present)
    with_features(monkeypatch, *features)
    monkeypatch.setattr(llama_cpp_package, "_default_compiler_version", lambda: gcc)
    found = find_peer("llama.cpp-q4_0").unavailable()
    assert found == (None if reason is None else f"llama.cpp-q4_0{reason}")


def test_bindings_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PeerError, match="llama_cpp is not installed in this environment"):
        bindings()
