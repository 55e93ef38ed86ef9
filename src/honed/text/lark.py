"""Pieces of Lark grammars, in the dialect of llguidance. Not here: compiling them (`text/grammar.py`)."""

from __future__ import annotations

import json
from collections.abc import Mapping

TEXT = "TEXT: /(?s:.*)/"
"""The rule of any text. It holds no control token."""


def literal(text: str) -> str:
    """A text as Lark spells it. Control characters are escaped: the library takes some of them for errors."""
    return "".join(
        c if c.isprintable() or ord(c) > 0xFFFF else f"\\u{ord(c):04x}" for c in json.dumps(text, ensure_ascii=False)
    )


def marker(text: str, tokens: Mapping[str, int]) -> str:
    """A tag: the token, where `tokens` says that it is a control token, else the text."""
    return f"<[{tokens[text]}]>" if text in tokens else literal(text)


def until(rule: str, text: str, tokens: Mapping[str, int]) -> str:
    """A rule for any text that ends with a tag, which occurs in it at the end only."""
    if text in tokens:
        return f"{rule}: TEXT {marker(text, tokens)}"
    return f"{rule}[lazy]: TEXT {literal(text)}"
