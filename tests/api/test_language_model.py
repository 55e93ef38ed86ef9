"""The text side of a model over a backend that hashes its context, so that any mix-up shows."""

from __future__ import annotations

import copy
import gc
import math
import os
import pickle
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine_rest import settle
from hash_backend import VOCABULARY, HashBackend
from hash_tokenizer import TOKENS, chatty, tokenizer
from honed.api.language_model import LanguageModel
from honed.api.prompt import Prompt
from honed.backends.base import Batch
from honed.errors import HonedError, ParameterError
from honed.runtime.options import SamplingOptions
from honed.runtime.request import Sampling

SEEDED = {"temperature": 1.0, "seed": 3, "max_tokens": 40}


@pytest.fixture
def backend() -> HashBackend:
    return HashBackend(pages=32)


class Unhurried(HashBackend):
    """Takes a while for a step, so that whoever reads a stream keeps up with it on a fast machine too."""

    def forward(self, batch: Batch) -> NDArray[np.float32]:
        time.sleep(0.002)
        return super().forward(batch)


@pytest.fixture
def unhurried() -> Iterator[LanguageModel]:
    with LanguageModel("hash", Unhurried(pages=32), tokenizer()) as made:
        yield made


@pytest.fixture
def model(backend: HashBackend) -> Iterator[LanguageModel]:
    with LanguageModel("hash", backend, tokenizer()) as made:
        yield made


def test_the_vocabularies_agree() -> None:
    assert len(TOKENS) == VOCABULARY


def test_text_is_the_decoding_of_the_tokens(model: LanguageModel) -> None:
    generation = model.generate("hello", max_tokens=100)
    assert len(generation.tokens) == 100
    assert generation.text == model.tokenizer.decode(generation.tokens)
    assert "\ufffd" in generation.text
    assert generation.finish_reason == "length"
    assert generation.prompt_tokens == 5


def test_a_stream_joined_is_the_text(unhurried: LanguageModel) -> None:
    model = unhurried
    with model.stream("hello", temperature=1.0, seed=3) as stream:
        pieces = list(stream)
    assert stream.generation is not None
    assert "".join(pieces) == stream.generation.text == model.generate("hello", temperature=1.0, seed=3).text
    assert len(pieces) > 10


def test_finish_after_reading_a_part_gives_the_whole(model: LanguageModel) -> None:
    stream = model.stream("hello", max_tokens=20)
    first = next(stream)
    whole = stream.finish()
    assert whole.text.startswith(first)
    assert whole.tokens == model.generate("hello", max_tokens=20).tokens


def test_streams_may_be_read_in_turns(model: LanguageModel) -> None:
    alone = [model.generate(prompt, max_tokens=30).text for prompt in ("abc", "xyz")]
    streams = [model.stream(prompt, max_tokens=30) for prompt in ("abc", "xyz")]
    texts = ["", ""]
    for _ in range(60):
        for index, stream in enumerate(streams):
            texts[index] += next(stream, "")
    assert texts == alone


def test_a_batch_gives_what_each_prompt_gives_alone(model: LanguageModel) -> None:
    prompts: list[Prompt] = ["a", "bc" * 30, [1, 2, 3], [{"role": "user", "content": "hey"}]]
    sampling = Sampling(temperature=0.9, top_p=0.9, seed=11)
    alone = [model.generate_batch([prompt], sampling=sampling, max_tokens=25)[0] for prompt in prompts]
    together = model.generate_batch(prompts, sampling=sampling, max_tokens=25)
    assert [g.tokens for g in together] == [g.tokens for g in alone]
    assert [g.text for g in together] == [g.text for g in alone]


def test_a_stop_string_ends_reply_and_request(model: LanguageModel, backend: HashBackend) -> None:
    whole = model.generate("hello", max_tokens=60)
    stop = whole.text[10:13]
    cut = model.generate("hello", max_tokens=60, stop=[stop, "never"])
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finish_reason == "stop"
    assert cut.tokens == whole.tokens[: len(cut.tokens)]
    assert len(cut.tokens) < 60
    settle(model._thread)  # the engine hears of it a step later
    steps = len(backend.batches)
    assert model.generate("x", max_tokens=1).finish_reason == "length"
    assert len(backend.batches) == steps + 1
    assert backend.batches[-1].tokens.size == 1


def test_one_stop_string_may_be_given_bare(model: LanguageModel) -> None:
    whole = model.generate("hello", max_tokens=30).text
    assert model.generate("hello", max_tokens=30, stop=whole[5:7]).text == whole[: whole.index(whole[5:7])]


def test_an_end_token_ends_the_reply_and_is_not_in_it(backend: HashBackend) -> None:
    tokens = LanguageModel("hash", backend, tokenizer()).generate("hello", max_tokens=30).tokens
    end = next(t for i, t in enumerate(tokens) if i > 3 and t not in tokens[:i])
    ended = LanguageModel("hash", backend, tokenizer(end)).generate("hello", max_tokens=30)
    assert ended.tokens == tokens[: tokens.index(end)]
    assert ended.finish_reason == "stop"


@pytest.mark.parametrize("how", ["close", "with", "garbage"])
def test_a_stream_that_is_left_frees_its_pages(
    model: LanguageModel, how: str, backend: HashBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = backend.forward

    def slow(batch: Batch) -> np.ndarray:
        time.sleep(0.005)  # so that the reply does not end before it is left
        return forward(batch)

    monkeypatch.setattr(backend, "forward", slow)
    stream = model.stream("hello" * 20, max_tokens=900)
    next(stream)
    assert model._engine.free_pages < 32
    if how == "close":
        stream.close()
        stream.close()
        assert stream.generation is not None
        assert stream.generation.finish_reason == "abort"
        assert list(stream)[1:] == []
    elif how == "with":
        with stream:
            next(stream)
    else:
        del stream
    settle(model._thread)
    assert model._engine.free_pages == 32


def test_a_fault_of_one_stream_leaves_the_other_alone(model: LanguageModel, backend: HashBackend) -> None:
    alone = model.generate("xyz", max_tokens=20).text
    prompt = model.encode("abc")
    backend.poison.add((*prompt, *model.generate("abc", max_tokens=3).tokens))
    bad, good = model.stream("abc", max_tokens=20), model.stream("xyz", max_tokens=20)
    with pytest.raises(HonedError, match="not finite"):
        list(bad)
    assert good.finish().text == alone


def test_defaults_are_used_where_nothing_is_given(backend: HashBackend) -> None:
    defaults = Sampling(temperature=1.0, top_k=5, seed=9)
    model = LanguageModel("hash", backend, tokenizer(), defaults=defaults)
    assert model.generate("a", max_tokens=20).tokens == model.generate("a", max_tokens=20, seed=9).tokens
    assert model.generate("a", max_tokens=20).tokens != model.generate("a", max_tokens=20, seed=10).tokens


def test_max_tokens_end_with_the_context(model: LanguageModel) -> None:
    generation = model.generate([1] * 500, max_tokens=10**9)
    assert (len(generation.tokens), generation.finish_reason) == (12, "length")


def test_a_prompt_that_leaves_no_room_is_refused_with_both_numbers(model: LanguageModel) -> None:
    with pytest.raises(ParameterError, match=r"512 tokens.*context of 512"):
        model.generate([1] * 512)


@pytest.mark.parametrize(
    ("arguments", "named"), [({"max_tokens": 0}, "max_tokens"), ({"stop": [""]}, "stop"), ({"top_p": 7.0}, "top_p")]
)
def test_bad_arguments_are_named(model: LanguageModel, arguments: dict[str, object], named: str) -> None:
    with pytest.raises(ParameterError, match=named):
        model.generate("a", **arguments)  # type: ignore[arg-type]


def test_a_closed_model_says_so(unhurried: LanguageModel) -> None:
    model = unhurried
    stream = model.stream("a")
    next(stream)
    model.close()
    model.close()
    assert stream.generation is not None
    assert stream.generation.finish_reason == "abort"
    with pytest.raises(HonedError, match="closed"):
        model.generate("a")


BAD_COUNTS = [2.5, math.nan, math.inf, "5", True, None, 0, -1, -(10**400), [5], np.float64(3), np.array([3])]


@pytest.mark.parametrize("value", BAD_COUNTS, ids=repr)
@pytest.mark.parametrize("call", ["generate", "stream", "generate_batch"])
def test_max_tokens_is_a_whole_number(model: LanguageModel, call: str, value: object) -> None:
    prompt: Any = ["a"] if call == "generate_batch" else "a"
    with pytest.raises(ParameterError, match=r"^max_tokens = "):
        getattr(model, call)(prompt, max_tokens=value)


def test_numbers_may_be_larger_than_any_context_or_come_from_numpy(model: LanguageModel) -> None:
    expected = model.generate([1] * 500, max_tokens=12).tokens
    assert model.generate([1] * 500, max_tokens=10**400).tokens == expected
    assert model.generate([1] * 500, max_tokens=np.int64(12)).tokens == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"max_new_tokens": 5}, "max_new_tokens = 5: is called max_tokens here"),
        ({"do_sample": True}, "do_sample = True: temperature=0"),
        ({"n_ctx": 512}, "n_ctx = 512: is called context here, and is a parameter of honed.load"),
        ({"temprature": 0.5}, "did you mean temperature"),
        ({"stop": 5}, "stop = 5: must be a text or a list of texts"),
        ({"stop": ["a", 5]}, "stop = 5: must be a text"),
        ({"temperature": np.array([0.5, 1.0])}, "temperature = "),
        ({"top_k": np.array([1, 2])}, "top_k = "),
        ({"seed": 0.5}, "seed = 0.5: must be a whole number"),
    ],
)
def test_wrong_names_and_types_are_named(model: LanguageModel, arguments: dict[str, Any], says: str) -> None:
    for call in (model.generate, model.stream):
        with pytest.raises(ParameterError, match=says):
            call("a", **arguments)


def test_sampling_may_be_a_value_and_keywords_change_it(model: LanguageModel) -> None:
    by_keywords = model.generate([1, 2], max_tokens=9, temperature=1.5, seed=7).tokens
    asked = SamplingOptions(temperature=1.5, seed=7)
    assert model.generate([1, 2], max_tokens=9, sampling=asked).tokens == by_keywords
    assert model.stream([1, 2], max_tokens=9, sampling=asked).finish().tokens == by_keywords
    assert model.generate_batch([[1, 2]], max_tokens=9, sampling=asked)[0].tokens == by_keywords
    assert model.generate_batch([[1, 2]], max_tokens=9, temperature=1.5, seed=7)[0].tokens == by_keywords
    changed = SamplingOptions(temperature=0.1, seed=7)
    assert model.generate([1, 2], max_tokens=9, sampling=changed, temperature=1.5).tokens == by_keywords
    settled = Sampling(temperature=1.5, seed=7)
    assert model.generate([1, 2], max_tokens=9, sampling=settled).tokens == by_keywords


def test_several_prompts_are_pointed_to_the_right_call(model: LanguageModel) -> None:
    for call in (model.generate, model.stream, model.encode):
        with pytest.raises(ParameterError, match="generate_batch runs several prompts"):
            call(["one", "two"])  # type: ignore[arg-type]
    for prompts in ("a text", b"bytes", {"role": "user"}, 5, None):
        with pytest.raises(ParameterError, match=r"^prompts = .*: must be a list of prompts"):
            model.generate_batch(prompts)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match=r"^sampling = 0.5: must be a honed.SamplingOptions, a honed.Sampling"):
        model.generate_batch(["a"], sampling=0.5)  # type: ignore[arg-type]


def in_threads(count: int, work: Callable[[int], object]) -> list[object]:
    begin = threading.Barrier(count)

    def run(number: int) -> object:
        begin.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


@pytest.mark.parametrize("pages", [32, 16])  # room for all, and for one alone
def test_eight_threads_get_what_each_gets_alone(pages: int) -> None:
    backend = HashBackend(pages=pages)
    with LanguageModel("hash", backend, tokenizer()) as model:

        def work(number: int) -> list[tuple[str, tuple[int, ...]]]:
            made = []
            for turn in range(3):
                prompt = "abcdefgh"[number] * (5 + 20 * turn)
                made.append(model.generate(prompt, max_tokens=30, temperature=1.0, seed=number))
                with model.stream(prompt, max_tokens=30) as stream:
                    next(stream)  # left early
                made.append(model.stream(prompt, max_tokens=30, stop="zz").finish())
            return [(generation.text, generation.tokens) for generation in made]

        together = in_threads(8, work)
        assert together == [work(number) for number in range(8)]
        assert any(batch.selected.size > 1 for batch in backend.batches)  # they did run together
        settle(model._thread)
        assert model._engine.free_pages == pages
        model._engine.check_integrity()


def test_threads_get_the_same_bits_from_the_native_engine(tiny_llama: Path) -> None:
    import honed

    with honed.load(tiny_llama, threads=2) as model:

        def work(number: int) -> tuple[int, ...]:
            return model.generate([3 + number] * (1 + 9 * number), max_tokens=60, temperature=1.0, seed=number).tokens

        assert in_threads(8, work) == [work(number) for number in range(8)]


def test_closing_in_one_thread_ends_the_streams_of_others(backend: HashBackend) -> None:
    model = LanguageModel("hash", backend, tokenizer())

    def work(number: int) -> str:
        if number == 0:
            model.close()
            return "closed"
        try:
            return model.generate("a", max_tokens=400).finish_reason
        except HonedError as error:
            assert "closed" in str(error)
            return "refused"

    assert set(in_threads(8, work)) <= {"closed", "abort", "refused", "length"}


def test_a_stream_that_dies_inside_a_step_does_not_hold_it_up(model: LanguageModel, backend: HashBackend) -> None:
    streams = [model.stream("hello", max_tokens=100)]
    other = model.stream("world", max_tokens=20)
    forward = backend.forward

    def forward_and_collect(batch: Any) -> Any:
        streams.clear()
        gc.collect()
        return forward(batch)

    backend.forward = forward_and_collect  # type: ignore[method-assign]
    assert len(other.finish().tokens) == 20
    settle(model._thread)
    assert model._engine.free_pages == 32


def test_a_closed_model_lets_its_backend_go_whoever_holds_a_stream() -> None:
    held = HashBackend(pages=32)
    gone = weakref.ref(held)
    model = LanguageModel("hash", held, tokenizer())
    stream = model.stream("a", max_tokens=400)
    next(stream)
    model.close()
    del held
    gc.collect()
    assert gone() is None
    assert stream.finish().finish_reason in ("abort", "length")


def test_a_model_that_is_dropped_ends_its_thread() -> None:
    held = HashBackend(pages=32)
    gone = weakref.ref(held)
    assert len(LanguageModel("hash", held, tokenizer()).generate("a", max_tokens=5).tokens) == 5
    del held
    until = time.monotonic() + 30
    while gone() is not None:
        gc.collect()
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_failure_of_the_backend_reaches_every_thread_and_the_model_goes_on(backend: HashBackend) -> None:
    with LanguageModel("hash", backend, tokenizer()) as model:
        alone = model.generate("a", max_tokens=5).text
        backend.fail_next = True
        with pytest.raises(HonedError, match=r"the model failed in the middle of a step \(RuntimeError\)"):
            model.generate("a", max_tokens=5)
        assert model.alive
        assert model.generate("a", max_tokens=5).text == alone
    assert not model.alive


def test_a_model_cannot_be_copied(model: LanguageModel) -> None:
    for make in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(HonedError, match="cannot be copied or pickled"):
            make(model)


@pytest.mark.parametrize("use", ["context", "backend", "encode", "generate", "stream", "generate_batch", "with"])
def test_after_closing_everything_says_so(model: LanguageModel, use: str) -> None:
    model.close()
    uses: dict[str, Callable[[], object]] = {
        "context": lambda: model.context,
        "backend": lambda: model.backend,
        "encode": lambda: model.encode("a"),
        "generate": lambda: model.generate("a"),
        "stream": lambda: model.stream("a"),
        "generate_batch": lambda: model.generate_batch(["a"]),
        "with": model.__enter__,
    }
    with pytest.raises(HonedError, match="has been closed; load it again"):
        uses[use]()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_is_told_and_ends(tiny_llama: Path) -> None:
    program = f"""
import os, sys, threading, honed
from honed.errors import HonedError
model = honed.load({str(tiny_llama)!r}, threads=2)
stream = model.stream([1, 2, 3], max_tokens=20)
next(stream)
model._lock.acquire()  # as if another thread were inside a step
child = os.fork()
if child == 0:
    said = []
    for use in (lambda: model.generate([1]), lambda: next(stream), lambda: model.context):
        try:
            use()
        except HonedError as error:
            said.append("forked" in str(error))
    model.close()
    stream.close()
    del stream
    os.write(1, repr(said).encode())
    sys.exit(0)
_, status = os.waitpid(child, 0)
model._lock.release()
os.write(1, f" {{status}} {{len(stream.finish().tokens)}}".encode())
model.close()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "[True, True, True] 0 20", (done.stdout, done.stderr)


def test_a_stop_string_that_is_a_control_token(backend: HashBackend) -> None:
    with LanguageModel("hash", backend, chatty()) as made:
        whole = made.generate("hello", temperature=1.0, seed=3, max_tokens=200)
        control = TOKENS.index("S")
        assert control in whole.tokens
        assert "S" not in whole.text
        cut = made.generate("hello", temperature=1.0, seed=3, max_tokens=200, stop="S")
        assert cut.finish_reason == "stop"
        assert cut.tokens == whole.tokens[: whole.tokens.index(control) + 1]
        assert whole.text.startswith(cut.text)


def test_control_tokens_in_messages_are_text_unless_asked_otherwise(backend: HashBackend) -> None:
    with LanguageModel("hash", backend, chatty()) as made:
        asked = [{"role": "user", "content": "aSb"}]
        control = TOKENS.index("S")
        # This vocabulary has no other spelling for it.
        with pytest.raises(ParameterError, match="cannot write as text"):
            made.encode(asked)
        assert made.encode(asked, literal=False).count(control) == 3
        assert made.encode("aSb").count(control) == 1
        begun = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b "}]
        assert made.encode(begun) == made.encode("SaSb ")


def test_a_prompt_of_megabytes_is_refused_at_once(backend: HashBackend) -> None:
    with LanguageModel("hash", backend, tokenizer()) as made:
        with pytest.raises(ParameterError, match=r"has at least \d+ tokens and must have fewer than"):
            made.generate("hello " * 2_000_000)
        with pytest.raises(ParameterError, match="fewer than 10;"):
            made.encode("hello " * 100, limit=10)
        assert len(made.encode("hello " * 100)) == 600
