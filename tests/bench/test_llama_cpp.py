from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from honed.bench.isolate import call_isolated
from honed.bench.peers import find_peer, llama_cpp
from honed.bench.peers.base import PeerError
from honed.bench.peers.environment import Environment
from honed.bench.peers.llama_cpp import environment
from honed.bench.session import measure_once
from honed.bench.workload import Workload
from honed.checkpoints.open import open_checkpoint
from honed.native import extension

WORKLOAD = Workload(prompt_tokens=40, new_tokens=6, threads=1, runs=1, batch=3)


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
        ((), None, (), "needs a C++ compiler: install clang"),
        (("g++",), 12, ("avx2",), None),
        (("g++",), 12, ("avx2", "amx_int8"), "AMX code crashes; install clang"),
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
    monkeypatch.setattr(llama_cpp, "_default_compiler_version", lambda: gcc)
    found = find_peer("llama.cpp-q4_0").unavailable()
    assert found is None if reason is None else found is not None and found.endswith(reason)


def test_file_as_it_is_needs_a_file(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Environment, "python", lambda *_: pytest.fail("installs something"))
    with pytest.raises(PeerError, match=r"llama\.cpp-file runs GGUF files only, and m is none"):
        find_peer("llama.cpp-file").contenders("m", open_checkpoint(str(tiny_llama)), WORKLOAD, lambda _: None)


@pytest.mark.real_peer
@pytest.mark.parametrize("name", ["llama.cpp-q4_0", "llama.cpp-q8_0"])
def test_real_one_measures_a_batch_with_and_without_flash_attention(name: str) -> None:
    if environment().find() is None:
        pytest.skip("llama.cpp is not in the cache: honed bench smollm2 --against llama.cpp installs it")
    checkpoint = open_checkpoint("synthetic:llama-tiny")
    contenders = find_peer(name).contenders("synthetic:llama-tiny", checkpoint, WORKLOAD, lambda _: None)
    assert [contender.variant for contender in contenders] == ["flash attention", "no flash attention"]
    for contender in contenders:
        sample = measure_once(contender)
        assert sample.decoded == 3 * 5
        assert sample.dtype == name.removeprefix("llama.cpp-").upper()
        assert sample.footprint.arithmetic == "int8"


WORKER = """
from honed.bench.peers.llama_cpp import open_runner
def run(arguments, spawned):
    runner = open_runner(arguments["arguments"])
    together = [[] for _ in arguments["prompts"]]
    for step in runner.generate_batch(arguments["prompts"], 8):
        for sequence, token in step:
            together[sequence].append(token)
    alone = [list(runner.generate(prompt, 8)) for prompt in arguments["prompts"]]
    return [alone, together, runner.encode("The capital of France is")]
"""


@pytest.mark.real_peer
@pytest.mark.real_model
def test_real_one_continues_as_honed_does(smollm2_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same 4-bit file in both: the greedy tokens of confident continuations, alone and together."""
    if environment().find() is None:
        pytest.skip("llama.cpp is not in the cache: honed bench smollm2 --against llama.cpp installs it")
    import honed

    (tmp_path / "llama_worker.py").write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    checkpoint = open_checkpoint(str(smollm2_gguf))
    workload = Workload(prompt_tokens=16, new_tokens=8, threads=1, runs=1, batch=2)
    contender = find_peer("llama.cpp-file").contenders("smollm2", checkpoint, workload, lambda _: None)[0]
    texts = ("1, 2, 3, 4, 5, 6, 7,", "Monday, Tuesday, Wednesday,")
    prompts = [checkpoint.tokenizer().encode(text) for text in texts]
    job = {"arguments": dict(contender.arguments), "prompts": prompts}
    alone, together, encoded = call_isolated("llama_worker:run", job, interpreter=contender.interpreter)
    assert encoded == checkpoint.tokenizer().encode("The capital of France is")
    assert together == alone
    # Decoded: with activations of eight bits, as both have them by default, the second text has a near tie.
    with honed.load(smollm2_gguf, dtype="float32") as model:
        for prompt, tokens in zip(prompts, alone, strict=True):
            assert list(model.generate(prompt, max_tokens=8, temperature=0).tokens) == tokens
