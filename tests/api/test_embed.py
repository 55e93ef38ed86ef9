"""The encoder that users hold: what it takes and gives, and what it says of everything else."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from honed.api.embed import TextEncoder
from honed.checkpoints.huggingface.sentence_files import SentenceSettings
from honed.errors import HonedError, ParameterError, UnsupportedError
from known_rows import KnownRows, tokenizer


def make(settings: SentenceSettings | None = None) -> TextEncoder:
    return TextEncoder("tiny", KnownRows(), tokenizer(), settings or SentenceSettings())


def test_vectors_of_texts() -> None:
    with make() as model:
        rows = model.embed(["a b", "h"])
        assert rows.shape == (2, 3)
        assert rows.dtype == np.float32
        assert (model.width, model.context, model.pooling, model.prompts) == (3, 12, "mean", ())
        np.testing.assert_array_equal(model.embed(("a b", "h")), rows)
        np.testing.assert_array_equal(model.embed(np.array(["a b", "h"])), rows)  # type: ignore[arg-type]
        np.testing.assert_array_equal(np.stack(list(model.embed_iter(iter(["a b", "h"])))), rows)


def test_the_caller_over_the_checkpoint() -> None:
    model = make(SentenceSettings(pooling="cls", normalize=True, prompts={"query": "h "}))
    assert (model.pooling, model.prompts) == ("cls", ("query",))
    first = model.embed(["a b"], normalize=False)
    assert first[0].tolist() == [2, 0, 0]
    assert model.embed(["a b"], pooling="last", normalize=False)[0].tolist() == [3, 0, 3]
    assert model.embed(["a"], pooling="mean", normalize=False, prompt="query")[0, 2] == 1.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: model.embed("a text"), "is one text; give a list with it"),
        (lambda model: model.embed(iter(["a"])), "is an iterator; embed_iter takes those"),
        (lambda model: model.embed(3), "must be a list of texts"),
        (lambda model: model.embed([3]), "must be a text"),
        (lambda model: model.embed_iter("a text"), "must give texts one after the other"),
        (lambda model: model.embed(["a"], pooling="max"), "must be one of mean, cls, last"),
        (lambda model: model.embed(["a"], normalize=1), "must be True or False"),
        (lambda model: model.embed(["a"], prompt=3), "must be the name of a prompt"),
        (lambda model: model.embed(["a"], prompt="query"), "this checkpoint has no prompts"),
        (lambda model: model.embed(["a"], poolin="mean"), "did you mean pooling"),
    ],
)
def test_what_is_refused(call: Callable[[TextEncoder], object], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        call(make())


def test_it_generates_nothing() -> None:
    for method in ("generate", "stream", "generate_batch"):
        with pytest.raises(
            UnsupportedError, match="tiny is an encoder, which gives texts vectors and generates nothing"
        ):
            getattr(make(), method)("a", max_tokens=3)


def test_closed_and_copied() -> None:
    model = make()
    vectors = model.embed_iter(["a"])
    model.close()
    model.close()
    for call in (lambda: model.embed(["a"]), lambda: next(vectors), lambda: model.width, model.__enter__):
        with pytest.raises(HonedError, match="the model tiny has been closed; load it again"):
            call()
    with pytest.raises(HonedError, match="cannot be copied or pickled"):
        pickle.dumps(make())


def test_threads_get_what_they_would_get_alone() -> None:
    model = make()
    texts = [" ".join("abcdefgh"[: n + 1]) for n in range(8)]
    alone = [model.embed([text]) for text in texts]
    wrong: list[str] = []

    def ask(index: int) -> None:
        for _ in range(20):
            if not np.array_equal(model.embed([texts[index], "h"])[:1], alone[index]):
                wrong.append(texts[index])

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_an_event_loop_gets_what_a_thread_gets() -> None:
    with make(SentenceSettings(normalize=True)) as model:
        texts = [" ".join("abcdefgh"[: n + 1]) for n in range(8)] * 40  # more than are read at a time

        async def ask() -> list[np.ndarray[Any, np.dtype[np.float32]]]:
            return await asyncio.gather(*(model.embed_async(texts[n:]) for n in range(4)))

        for n, rows in enumerate(asyncio.run(ask())):
            np.testing.assert_array_equal(rows, model.embed(texts[n:]))

        async def refused() -> None:
            await model.embed_async("a text")

        with pytest.raises(ParameterError, match="is one text"):
            asyncio.run(refused())


def test_a_text_that_is_none_drops_the_window_before_it() -> None:
    model = make()
    texts: list[Any] = ["a"] * 256 + [3]
    with pytest.raises(ParameterError, match="must be a text"):
        model.embed(texts)
    assert model.embed(["a"]).shape == (1, 3)
    model.close()
