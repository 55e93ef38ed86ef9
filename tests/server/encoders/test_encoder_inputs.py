"""Texts and token ids of requests as what an encoder is given."""

from __future__ import annotations

from typing import Any

import pytest

from honed.api.embed import TextEncoder
from honed.checkpoints.huggingface.sentence_files import SentenceSettings
from honed.errors import ParameterError
from honed.server.encoders.inputs import MOST_INPUTS, Inputs, listed
from honed.text.encoder_input import EncoderInput
from known_rows import WORDS, KnownRows, tokenizer


def encoder(**settings: Any) -> TextEncoder:
    return TextEncoder("tiny", KnownRows(), tokenizer(), SentenceSettings(**settings))


def test_all_ways_to_give_texts() -> None:
    assert listed("input", "a") == ["a"]
    assert listed("input", ["a", "b"]) == ["a", "b"]
    assert listed("input", [1, 2]) == [[1, 2]]
    assert listed("input", [[1, 2], [3]]) == [[1, 2], [3]]


@pytest.mark.parametrize(
    ("given", "parameter"),
    [
        ([], "input"),
        ("", "input"),
        (["a", ""], "input[1]"),
        ([[1], []], "input[1]"),
        (["a"] * (MOST_INPUTS + 1), "input"),
    ],
)
def test_ways_that_are_refused(given: Any, parameter: str) -> None:
    with pytest.raises(ParameterError) as found:
        listed("input", given)
    assert found.value.parameter == parameter


def test_tokens_are_counted() -> None:
    inputs = Inputs(encoder())
    inputs.add("input", "a b")
    assert inputs.found[0].tokens == (2, 4, 5, 3)
    assert inputs.tokens == 4  # two around the text
    inputs.add("input", [2, 4, 3])
    assert inputs.found[1] == EncoderInput.of_tokens([2, 4, 3])
    assert inputs.tokens == 7


def test_prompts_count() -> None:
    settings = {"prompts": {"query": "query: ", "none": ""}, "default_prompt": "query"}
    for prompt, tokens in ((None, 4), ("", 3), ("query", 4), ("none", 3)):
        inputs = Inputs(encoder(**settings))
        inputs.add("input", "a", prompt)
        found = inputs.found[0].tokens
        assert inputs.tokens == len(found) == tokens
        assert (WORDS.index("query:") in found) == (tokens == 4)


def test_what_is_too_long() -> None:
    long = " ".join("abcdefgh" * 2)
    for given in (long, [4] * 13):
        with pytest.raises(ParameterError, match=r"1[38] tokens': must have at most 12") as found:
            Inputs(encoder()).add("input[3]", given)
        assert found.value.parameter == "input[3]"
    inputs = Inputs(encoder(), cut=True)
    inputs.add("input", long)
    inputs.add("input", [4] * 13)
    assert inputs.found[0].dropped == 0
    assert inputs.found[1] == EncoderInput.of_tokens([4] * 12)
    assert inputs.tokens == 24


@pytest.mark.parametrize("token", [-1, len(WORDS), 10**20])
def test_ids_outside_of_the_vocabulary(token: int) -> None:
    with pytest.raises(ParameterError, match=f"must be token ids from 0 to {len(WORDS) - 1}"):
        Inputs(encoder()).add("input", [4, token])
