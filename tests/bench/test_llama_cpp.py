from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from honed.bench.isolate import call_isolated
from honed.bench.peers import find_peer, llama_cpp
from honed.bench.peers.base import PeerError
from honed.bench.peers.environment import Environment
from honed.bench.peers.llama_cpp import require_one_copy
from honed.bench.peers.llama_cpp_package import environment
from honed.bench.session import measure_once
from honed.bench.workload import Workload
from honed.checkpoints.open import open_checkpoint

WORKLOAD = Workload(prompt_tokens=40, new_tokens=6, threads=1, runs=1, batch=3)


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
    workload = Workload(prompt_tokens=16, new_tokens=8, threads=2, runs=1, batch=2)
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


MAPS = """\
7f00-7f10 r-xp 0 fe:00 11 /env/lib/libllama.so
7f10-7f20 r-xp 0 fe:00 12 /env/lib/libggml-cpu.so.0
7f20-7f30 rw-p 0 fe:00 12 /env/lib/libggml-cpu.so.0
7f30-7f40 r-xp 0 fe:00 13 /env/lib/libggml-base.so.0
7f40-7f50 r-xp 0 fe:00 14 /env/lib/libggml.so.0
7f50-7f60 rw-p 0 00:00 0
"""


def test_second_copy_of_a_library_is_no_measurement() -> None:
    require_one_copy(MAPS)
    with pytest.raises(PeerError, match="ggml-cpu is loaded twice"):
        require_one_copy(MAPS + "7f60-7f70 r-xp 0 fe:00 15 /env/lib/libggml-cpu.so\n")
    require_one_copy("")


@pytest.mark.real_peer
@pytest.mark.parametrize("name", ["llama.cpp-q4_0", "llama.cpp-q8_0"])
def test_threads_do_not_change_what_is_decoded(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread is the one that calls; more are those of the pool."""
    if environment().find() is None:
        pytest.skip("llama.cpp is not in the cache: honed bench smollm2 --against llama.cpp installs it")
    (tmp_path / "llama_worker.py").write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    checkpoint = open_checkpoint("synthetic:llama-tiny")
    answers = []
    for threads in (1, 2, 3):
        workload = Workload(prompt_tokens=16, new_tokens=8, threads=threads, runs=1, batch=2)
        for contender in find_peer(name).contenders("tiny", checkpoint, workload, lambda _: None):
            job = {"arguments": dict(contender.arguments), "prompts": contender.prompts}
            alone, together, _ = call_isolated("llama_worker:run", job, interpreter=contender.interpreter)
            answers.append((contender.variant, alone, together))
    for variant, alone, together in answers[2:]:
        assert (variant, alone, together) in answers[:2]


class Function:
    """Stands for a function of C: remembers what it was called with."""

    def __init__(self, answer: Any) -> None:
        self.answer, self.calls = answer, 0
        self.argtypes: Any = None
        self.restype: Any = None

    def __call__(self, *_: Any) -> Any:
        self.calls += 1
        return self.answer


@pytest.mark.parametrize("pool", [4096, None])
def test_pool_is_made_by_the_library_that_computes(pool: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda *_: pytest.fail("opens a library by a name"))
    names = ("ggml_threadpool_params_init", "ggml_threadpool_new", "llama_attach_threadpool")
    library = SimpleNamespace(**{name: Function(pool) for name in names})
    api = SimpleNamespace(_lib=library)
    if pool is None:
        with pytest.raises(PeerError, match="cannot make its threads"):
            llama_cpp._attach_threads(api, 1, 2)
    else:
        llama_cpp._attach_threads(api, 1, 2)
    assert [getattr(library, name).calls for name in names] == [1, 1, int(pool is not None)]
