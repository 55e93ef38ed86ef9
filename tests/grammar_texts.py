"""Whether texts may be written under a grammar, for a tokenizer of bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from byte_tokenizers import byte_tokenizer
from honed.text.grammar import GrammarCompiler, GrammarKind
from honed.text.grammar_matcher import CompiledGrammar, GrammarMatcher
from honed.text.tokenizer import Tokenizer

WORDS = ('{"', '":', '",', "name", "true", "false", "null", "Ġ")


@cache
def tokenizer() -> Tokenizer:
    return byte_tokenizer(control=["<think>", "</think>"], words=WORDS)


@cache
def compiler() -> GrammarCompiler:
    return GrammarCompiler(tokenizer(), tokenizer().size)


def grammar(kind: GrammarKind, source: Any = "") -> CompiledGrammar:
    return compiler().compile(kind, source if isinstance(source, str) else json.dumps(source))


def allowed(row: np.ndarray[Any, Any]) -> list[int]:
    return [int(t) for t in np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little"))]


def accepts(compiled: CompiledGrammar, text: str, using: Tokenizer | None = None) -> bool:
    """Whether the text may be written token by token, and end there."""
    tokens = (using or tokenizer()).encode(text, add_special=False)
    return takes(compiled.matcher(), tokens, (using or tokenizer()).end_tokens)


def takes(matcher: GrammarMatcher, tokens: Sequence[int], ends: frozenset[int]) -> bool:
    for token in tokens:
        if token not in allowed(matcher.masks(())[0]):
            return False
        matcher.accept(token)
    return bool(ends & set(allowed(matcher.masks(())[0])))
