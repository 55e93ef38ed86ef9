"""llama.cpp's own programs: how they are called and what is read from what they print."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from honed.bench.isolate import WorkerError, call_isolated
from honed.bench.peers import find_peer
from honed.bench.peers.base import Footprint, PeerError
from honed.bench.peers.environment import Environment
from honed.bench.peers.llama_cpp_package import BUILD, environment
from honed.bench.peers.llama_cpp_tools import speeds, tools_environment
from honed.bench.peers.own_tool import OwnTool
from honed.bench.session import measure_once
from honed.bench.workload import Workload
from honed.checkpoints.open import open_checkpoint

ARGUMENTS: dict[str, Any] = {
    "program": "/tools/llama-bench",
    "file": "m.gguf",
    "threads": 2,
    "flash_attention": 1,
    "prompt_tokens": 512,
    "steps": 63,
    "sequences": 1,
}


def options(command: Sequence[str]) -> dict[str, str]:
    return {name: value for name, value in pairwise(command) if name.startswith("-")}


def test_one_sequence_is_a_prompt_and_then_tokens_behind_such_a_prompt() -> None:
    commands: list[Sequence[str]] = []

    def run(command: Sequence[str]) -> str:
        commands.append(command)
        return json.dumps([{"avg_ts": 100.0 * len(commands), "n_prompt": 0}])

    assert speeds(ARGUMENTS, run) == {"prefill_tok_s": 100.0, "decode_tok_s": 200.0}
    prefill, decode = (options(command) for command in commands)
    same = {"-m": "m.gguf", "-t": "2", "-fa": "on", "-b": "2048", "-ub": "512", "-o": "json", "-r": "1"}
    assert prefill == {**same, "-p": "512", "-n": "0"}
    assert decode == {**same, "-p": "0", "-n": "63", "-d": "512"}


def test_several_sequences_have_the_room_that_the_adapter_gives_them() -> None:
    line = {"speed_pp": 700.5, "speed_tg": 290.25}

    def run(command: Sequence[str]) -> str:
        found = options(command)
        assert (found["-npp"], found["-ntg"], found["-npl"], found["-tb"]) == ("512", "63", "16", "2")
        assert (found["-c"], found["-fa"]) == (str(16 * 768), "off")
        assert "--no-kv-unified" in command
        return f"\nsomething else\n{json.dumps(line)}\n"

    arguments = {**ARGUMENTS, "sequences": 16, "flash_attention": 0}
    assert speeds(arguments, run) == {"prefill_tok_s": 700.5, "decode_tok_s": 290.25}
    with pytest.raises(PeerError, match="llama-bench measured nothing"):
        speeds(arguments, lambda _: "no room\n")


def test_program_that_fails_says_why(tmp_path: Path) -> None:
    program = tmp_path / "llama-bench"
    program.write_text("#!/bin/sh\necho 'error: no such model' >&2\nexit 3\n")
    program.chmod(0o755)
    home = "honed.bench.peers.llama_cpp_tools:measure_in_worker"
    with pytest.raises(WorkerError, match="llama-bench failed with exit code 3: error: no such model"):
        call_isolated(home, {**ARGUMENTS, "program": str(program)})
    with pytest.raises(WorkerError, match=r"llama-bench cannot be run: .*No such file"):
        call_isolated(home, {**ARGUMENTS, "program": str(tmp_path / "no" / "llama-bench")})


def test_compiled_with_the_settings_of_the_adapter() -> None:
    configure = next(build for build in tools_environment().builds if "-S" in build.command)
    settings = dict(word[2:].split("=") for word in configure.command if word.startswith("-D"))
    assert BUILD.items() <= settings.items()
    adapter = environment().installs[-1].variables
    assert {f"-D{name}={value}" for name, value in BUILD.items()} <= set(adapter["CMAKE_ARGS"].split())
    compilers = {name: value for name, value in adapter.items() if name in ("CC", "CXX")}
    assert configure.variables == compilers


def test_tool_gets_the_steps_that_the_adapter_is_timed_for(monkeypatch: pytest.MonkeyPatch, tiny_llama: Path) -> None:
    monkeypatch.setattr(Environment, "python", lambda self, announce: Path("/cache") / self.name / "bin" / "python")
    monkeypatch.setattr("honed.bench.peers.gguf_model.quantized_file", lambda *_, **__: tiny_llama / "config.json")
    monkeypatch.setattr("honed.bench.peers.gguf_model.file_footprint", lambda _: (SAMPLE_FOOTPRINT, "Q4_0"))
    peer, checkpoint = find_peer("llama.cpp-q4_0"), open_checkpoint(str(tiny_llama))
    for batch, name in ((1, "llama-bench"), (3, "llama-batched-bench")):
        workload = Workload(prompt_tokens=8, new_tokens=5, threads=1, runs=1, batch=batch)
        for contender, setting in zip(peer.contenders("m", checkpoint, workload, print), (1, 0), strict=True):
            found = peer.own_tool(contender, print)
            assert isinstance(found, OwnTool)
            assert found.arguments["program"] == f"/cache/llama.cpp-tools/tools/{name}"
            assert (found.arguments["steps"], found.arguments["sequences"]) == (4, batch)
            assert found.arguments["flash_attention"] == setting


SAMPLE_FOOTPRINT = Footprint(1, 1, 1, 1, "int8")


@pytest.mark.real_peer
def test_real_tools_measure_beside_the_adapter() -> None:
    if environment().find() is None or tools_environment().find() is None:
        pytest.skip("honed bench smollm2 --against llama.cpp --check-peers makes llama.cpp and its own benchmarks")
    checkpoint, peer = open_checkpoint("synthetic:llama-tiny"), find_peer("llama.cpp-q4_0")
    for batch in (1, 3):
        workload = Workload(prompt_tokens=40, new_tokens=6, threads=1, runs=1, batch=batch)
        contender = peer.contenders("synthetic:llama-tiny", checkpoint, workload, print)[0]
        tool = peer.own_tool(contender, print)
        assert isinstance(tool, OwnTool)
        found = call_isolated(tool.function, tool.arguments)
        assert all(speed > 0 for speed in found.values())
        assert measure_once(contender).decoded == 5 * batch
