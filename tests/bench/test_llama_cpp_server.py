"""llama.cpp's server: what is compiled and how it is started. The real one is asked by studies/serving."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from honed.bench.peers.environment import Environment
from honed.bench.peers.llama_cpp_package import BUILD
from honed.bench.peers.llama_cpp_server import server_command, server_environment, server_program
from honed.bench.peers.llama_cpp_tools import tools_environment


def test_compiled_with_the_settings_of_the_benchmarks() -> None:
    environment = server_environment()
    configure = next(build for build in environment.builds if "-S" in build.command)
    settings = dict(word[2:].split("=") for word in configure.command if word.startswith("-D"))
    assert BUILD.items() <= settings.items()
    assert (settings["LLAMA_BUILD_SERVER"], settings["LLAMA_OPENSSL"]) == ("ON", "OFF")
    compiled = next(build for build in environment.builds if "--target" in build.command)
    assert compiled.command[-1] == "llama-server"
    assert environment.directory_name != tools_environment().directory_name


def test_the_benchmarks_are_compiled_without_it() -> None:
    configure = next(build for build in tools_environment().builds if "-S" in build.command)
    assert "-DLLAMA_BUILD_SERVER=OFF" in configure.command


def test_the_program_lies_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Environment, "python", lambda self, announce: Path("/cache") / self.name / "bin" / "python")
    assert server_program(print) == Path("/cache/llama.cpp-server/tools/llama-server")


def test_each_slot_has_the_room_that_was_asked_for() -> None:
    words = server_command(
        Path("/p/llama-server"), Path("m.gguf"), port=81, threads=2, slots=16, positions=300, flash_attention=True
    )
    assert words[0] == "/p/llama-server"
    found = {name: value for name, value in pairwise(words) if name.startswith("-")}
    assert (found["-c"], found["-np"], found["--port"]) == (str(16 * 512), "16", "81")
    assert (found["-t"], found["-tb"], found["-fa"], found["--host"]) == ("2", "2", "on", "127.0.0.1")
    assert "--no-kv-unified" in words
