"""Tokenizers for the vocabulary of `hash_backend`: letters, a space, and the four bytes of an emoji, so that most
replies hold cut characters."""

from __future__ import annotations

from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as FastTokenizer

from honed.text.tokenizer import Tokenizer

TOKENS = [*"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRS", "Ġ", "ð", "Ł", "ĺ", "Ģ"]


def tokenizer(*end_tokens: int) -> Tokenizer:
    """With a template that puts a space behind each message."""
    template = "{% for m in messages %}{{ m.content }} {% endfor %}"
    return Tokenizer(_fast(), frozenset(end_tokens), chat_template=template)


def chatty() -> Tokenizer:
    """The same letters, with a control token that is the last one of the vocabulary."""
    fast = _fast()
    fast.add_special_tokens([AddedToken("S", special=True, normalized=False)])
    template = "{% for m in messages %}S{{ m.content }}{% endfor %}{% if add_generation_prompt %}S{% endif %}"
    return Tokenizer(fast, frozenset(), chat_template=template)


def _fast() -> FastTokenizer:
    fast = FastTokenizer(models.BPE({token: i for i, token in enumerate(TOKENS)}, []))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    return fast
