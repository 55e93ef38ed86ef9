"""Whether a text is too long for a context, known without making all of it into tokens.

A text of ten megabytes takes half a minute and gigabytes to be made into tokens, and then is refused. Here: lower
bounds of its tokens, for tokenizers where they hold. Not here: the context, and what is said to the user.
"""

from __future__ import annotations

import json
from typing import Any

from honed.text.tokenizer import Tokenizer, encoded

PLAIN = 8
"""Characters a token of the context: what is shorter is made into tokens as it is."""


class PromptBound:
    """Lower bounds for one tokenizer. Looks at its vocabulary when the first long text comes."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._covered: int | None = None
        self._steady = True

    def least_tokens(self, text: str, room: int) -> int:
        """At least so many tokens the text has; exact only in that more than `room` are too many for it.

        A text that is not found too long within a few steps over growing beginnings of it has 0.
        """
        if len(text) <= PLAIN * room:
            return 0
        if self._covered is None:
            self._covered, self._steady = _coverage(self._tokenizer)
        if self._covered and (least := len(text.encode()) // self._covered) > room:
            return least
        # A beginning has about as many tokens as it has within the whole; twice the room is far from any doubt.
        length = PLAIN * room
        while self._steady and length < len(text):
            found = len(encoded(self._tokenizer.fast, text[:length].rstrip()).ids)
            if found > 2 * room + 64:
                return found // 2
            length *= 4
        return 0


def _coverage(tokenizer: Tokenizer) -> tuple[int, bool]:
    """Bytes of a text that a token stands for at most (0: no bound), and whether beginnings tell of the whole.

    A bound holds where every byte of a text comes to be part of a token, and where the text is not made shorter first
    by more than what composing characters does (three to one).
    """
    fast = tokenizer.fast
    state: dict[str, Any] = {
        part: None if (held := getattr(fast, part)) is None else json.loads(held.__getstate__())
        for part in ("normalizer", "pre_tokenizer")
    }
    normalizers = _steps(state["normalizer"], "normalizers")
    splitters = _steps(state["pre_tokenizer"], "pretokenizers")
    factor = 1
    for step in normalizers:
        match step.get("type"):
            case "NFC" | "Prepend":
                factor = 3
            case "Replace" if "String" in step["pattern"]:
                old, new = len(step["pattern"]["String"].encode()), len(step["content"].encode())
                factor *= max(1, -(-old // max(new, 1)))
                if not new:
                    return 0, True
            case _:
                return 0, not any("Regex" in str(step) for step in normalizers)
    bytes_kept = any(step.get("type") == "ByteLevel" for step in splitters) or getattr(
        fast.model, "byte_fallback", False
    )
    removes = any(step.get("behavior") == "Removed" or step.get("type", "")[:10] == "Whitespace" for step in splitters)
    strips = any(token.lstrip or token.rstrip for token in tokenizer.added.values())
    if not bytes_kept or removes or strips:
        return 0, True
    # In the alphabet of byte-level tokens a byte is a character of one or two bytes; added tokens are as they are.
    longest = max((len(token.encode()) for token in fast.get_vocab(with_added_tokens=True)), default=1)
    return longest * factor, True


def _steps(state: Any, inside: str) -> list[dict[str, Any]]:
    if state is None:
        return []
    if state.get("type") == "Sequence":
        return [step for part in state[inside] for step in _steps(part, inside)]
    return [state]
