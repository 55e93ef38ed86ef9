from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import models, pre_tokenizers

from honed.api.prompt import EncodedPrompt, PromptEncoder
from honed.errors import ParameterError, TemplateError
from honed.text.tokenizer import Tokenizer


def tokenizer(template: str | None) -> Tokenizer:
    fast = FastTokenizer(models.WordLevel({"<unk>": 0, "<s>": 1, "hi": 2, "user": 3}, unk_token="<unk>"))
    fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast.add_special_tokens(["<s>"])
    return Tokenizer(fast, frozenset({0}), 1, True, template, {"bos_token": "<s>"})


@pytest.fixture
def encoder() -> Iterator[PromptEncoder]:
    made = PromptEncoder(tokenizer("{{ bos_token }} {% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}"))
    yield made
    made.close()


def test_plain_text_gets_the_begin_token(encoder: PromptEncoder) -> None:
    assert encoder.encode("hi hi") == EncodedPrompt((1, 2, 2), continues=True)


def test_the_template_writes_the_begin_token_itself(encoder: PromptEncoder) -> None:
    assert encoder.encode([{"role": "user", "content": "hi"}]) == EncodedPrompt((1, 3, 2), continues=False)


@pytest.mark.parametrize("ids", [[2, 3], (2, 3), np.array([2, 3], dtype=np.int32)])
def test_ids_are_taken_as_they_are(encoder: PromptEncoder, ids: Any) -> None:
    assert encoder.encode(ids) == EncodedPrompt((2, 3), continues=True)


@pytest.mark.parametrize("prompt", [[], None, 7, {"role": "user"}, b"hi", [1.5], [[1, 2]], ["hi"]], ids=repr)
def test_anything_else_is_refused(encoder: PromptEncoder, prompt: Any) -> None:
    with pytest.raises(ParameterError, match="prompt"):
        encoder.encode(prompt)


def test_half_a_surrogate_pair_is_refused(encoder: PromptEncoder) -> None:
    with pytest.raises(ParameterError, match="character 1 is half"):
        encoder.encode("a\ud800")
    with pytest.raises(ParameterError, match="half"):
        encoder.encode([{"role": "user", "content": "\udfff"}])


def test_messages_without_a_template_say_what_to_do() -> None:
    with pytest.raises(TemplateError, match="no chat template; give a plain prompt"):
        PromptEncoder(tokenizer(None)).encode([{"role": "user", "content": "hi"}])
