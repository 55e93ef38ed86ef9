from __future__ import annotations

import pytest

from byte_tokenizers import END, byte_tokenizer
from honed.text.infill import infill_prompt, infill_tokens


@pytest.mark.parametrize(
    ("marks", "end"),
    [
        (["<fim_prefix>", "<fim_middle>", "<fim_suffix>"], "<file_sep>"),
        (["<fim-prefix>", "<fim-middle>", "<fim-suffix>"], "<fim-pad>"),
        (["<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"], "<|fim_pad|>"),
        (["▁<PRE>", "▁<MID>", "▁<SUF>"], "▁<EOT>"),
    ],
)
def test_prefix_suffix_middle(marks: list[str], end: str) -> None:
    tokenizer = byte_tokenizer(control=[*marks, end])
    prefix, middle, suffix, ending = (tokenizer.fast.token_to_id(mark) for mark in [*marks, end])
    prompt = infill_prompt(tokenizer, "a b", "c\n")
    assert prompt is not None
    assert prompt == [
        prefix,
        *tokenizer.encode("a b", add_special=False),
        suffix,
        *tokenizer.encode("c\n", add_special=False),
        middle,
    ]
    tokens = infill_tokens(tokenizer)
    assert tokens is not None
    assert tokens.ends == {ending, tokenizer.fast.token_to_id(END)}


def test_deepseek_has_the_hole_between() -> None:
    tokenizer = byte_tokenizer(control=["<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"])
    prompt = infill_prompt(tokenizer, "a", "b")
    assert prompt is not None
    assert [tokenizer.fast.id_to_token(token) for token in prompt] == [
        "<｜fim▁begin｜>",
        "a",
        "<｜fim▁hole｜>",
        "b",
        "<｜fim▁end｜>",
    ]


def test_a_model_without_the_tokens_cannot() -> None:
    assert infill_prompt(byte_tokenizer(control=["<fim_prefix>", "<fim_suffix>"]), "a", "b") is None
