"""Tasks over many things: order, windows, cuts and errors."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

import honed
from headed_models import headed
from honed.api.embed import TextEncoder
from honed.checkpoints.huggingface.sentence_files import SentenceSettings
from honed.errors import HonedError, ParameterError, UnsupportedError
from honed.notes import HonedWarning
from honed.tasks.features import Features
from known_rows import KnownRows, tokenizer


def model() -> TextEncoder:
    found = honed.load(headed("bert", "ForTokenClassification"))
    assert isinstance(found, TextEncoder)
    return found


def test_results_stand_in_the_order_of_what_was_given() -> None:
    texts = ["Ann " * (number % 7 + 1) + "lives in Berlin" for number in range(600)]
    with model() as encoder:
        task = encoder.tasks.token_classification("simple")
        together = list(encoder.run(task, texts))
        assert together[:9] == [next(encoder.run(task, [text])) for text in texts[:9]]
        assert together[592:] == together[592 % 7 : 592 % 7 + 8]
        found, tokens = asyncio.run(encoder.run_async(task, texts))
        assert found == together and tokens > 600 * 5
        assert list(encoder.run(task, [])) == []


def test_an_error_in_a_window_ends_it() -> None:
    def given() -> Iterator[str]:
        yield from ["Ann"] * 300
        yield 3  # type: ignore[misc]

    with model() as encoder:
        results = encoder.run(encoder.tasks.token_classification(), given())
        with pytest.raises(ParameterError):
            list(results)
    with pytest.raises(HonedError, match="closed"):
        encoder.run(encoder.tasks.token_classification(), ["Ann"])


def test_cuts_are_told_once_or_refused() -> None:
    encoder = TextEncoder("tiny", KnownRows(), tokenizer(), SentenceSettings())
    task = Features(encoder.tasks.texts)
    long = " ".join("abcdefgh" * 2)
    with pytest.raises(ParameterError, match="input = '18 tokens': must have at most 12"):
        asyncio.run(encoder.run_async(task, [long], place="input"))
    with pytest.warns(HonedWarning, match="1 of 2 texts"), pytest.raises(KeyError):  # these rows know no tokens
        list(encoder.run(task, ["a", long]))
    with pytest.raises(KeyError):
        list(encoder.run(task, ["a", long]))
    encoder.close()


def test_types_that_the_model_has_not() -> None:
    with (
        TextEncoder("tiny", KnownRows(types=1), tokenizer(), SentenceSettings()) as encoder,
        pytest.raises(UnsupportedError, match="2 types"),
    ):
        list(encoder.run(Features(encoder.tasks.texts), [("a", "b")]))
