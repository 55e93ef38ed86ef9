"""The CTranslate2 adapter with a generator that runs in a thread, as the library's does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from honed.bench.peers import conversion, ctranslate2, find_peer
from honed.bench.peers.base import Footprint, PeerError
from honed.bench.peers.ctranslate2 import Ctranslate2Runner
from honed.bench.peers.environment import Environment
from honed.bench.workload import Workload
from honed.checkpoints.open import open_checkpoint

FOOTPRINT = Footprint(100, 4, 200, 20, "int8")
WORDS = ["a", "b", "c", "d"]


class Generator:
    """Counts on from the last word of each prompt. tokens: how many it gives; error: raised instead of the rest."""

    compute_type = "int8_float32"

    def __init__(self, tokens: int | None = None, error: Exception | None = None) -> None:
        self._tokens = tokens
        self._error = error
        self.options: dict[str, Any] = {}

    def generate_batch(
        self, prompts: list[list[str]], *, callback: Callable[[Any], bool], max_length: int, **options: Any
    ) -> list[Any]:
        self.options = options
        futures: list[Future[None]] = [Future() for _ in prompts]

        def work() -> None:
            for step in range(max_length if self._tokens is None else self._tokens):
                for index, prompt in enumerate(prompts):
                    token = (WORDS.index(prompt[-1]) + 1 + step) % len(WORDS)
                    assert callback(SimpleNamespace(batch_id=index, token_id=token, step=step)) is False
            for future in futures:
                if self._error is not None:
                    future.set_exception(self._error)
                else:
                    future.set_result(None)

        threading.Thread(target=work).start()
        return futures


def runner(generator: Generator) -> Ctranslate2Runner:
    return Ctranslate2Runner(generator, None, WORDS, FOOTPRINT)


def test_tokens_of_one_and_of_several_sequences() -> None:
    generator = Generator()
    assert list(runner(generator).generate([3, 0], 5)) == [1, 2, 3, 0, 1]
    steps = list(runner(generator).generate_batch([[0, 1], [1, 2]], 3))
    assert [[token for step in steps for at, token in step if at == index] for index in (0, 1)] == [
        [2, 3, 0],
        [3, 0, 1],
    ]


def test_no_token_ends_a_sequence_and_no_batch_is_taken_apart() -> None:
    generator = Generator()
    list(runner(generator).generate([0], 2))
    assert generator.options["end_token"] == []
    assert generator.options["max_batch_size"] == 0
    assert generator.options["include_prompt_in_result"] is False
    assert generator.options["sampling_topk"] == generator.options["beam_size"] == 1


@pytest.mark.parametrize(
    ("error", "raised"), [(RuntimeError("out of memory"), RuntimeError), (None, PeerError)], ids=["fails", "ends early"]
)
def test_call_that_stops_early_is_an_error(
    error: Exception | None, raised: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctranslate2, "_LOOK_AGAIN_S", 0.01)
    tokens = runner(Generator(tokens=2, error=error)).generate([0], 5)
    assert [next(tokens), next(tokens)] == [1, 2]
    with pytest.raises(raised, match="out of memory" if error else "ended before all tokens"):
        next(tokens)


@pytest.mark.parametrize(
    ("flags", "forced"), [(["avx2", "avx512f", "avx512bw"], "AVX512"), (["avx2", "fma"], None), (["neon"], None)]
)
def test_avx512_is_used_where_the_processor_has_it(
    flags: list[str], forced: str | None, tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("honed.native.extension.features", lambda: {"instruction_sets": flags})
    monkeypatch.setattr(Environment, "python", lambda self, announce: Path("/v/bin/python"))
    monkeypatch.setattr(conversion, "_root", lambda cache: tmp_path)

    def convert(function: str, job: dict[str, Any], *, interpreter: str) -> None:
        assert (function, interpreter) == ("honed.bench.peers.ctranslate2:convert_in_worker", "/v/bin/python")
        assert job["quantization"] == "int8_float32"
        (Path(job["target"]) / "model.bin").write_bytes(b"12345")

    monkeypatch.setattr(ctranslate2, "call_isolated", convert)
    said: list[str] = []
    for _ in range(2):
        workload = Workload(prompt_tokens=6, new_tokens=4, threads=3)
        peer = find_peer("ctranslate2")
        (contender,) = peer.contenders("tiny", open_checkpoint(str(tiny_llama)), workload, said.append)
    assert len(said) == 1, "converted once"
    assert contender.environment.get("CT2_FORCE_CPU_ISA") == forced
    assert contender.environment["OMP_NUM_THREADS"] == "3"
    assert contender.file_bytes == 5
