"""A text, or two, as an encoder reads them: token ids between those of the post-processor, types, and where in the text
each token stands.

A text that is too long is cut, as encoders are trained and used; `EncoderInput.dropped` says by how much. Not here:
prompts of decoders (`Tokenizer.encode`), which are never cut.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from honed.errors import ParameterError, UnsupportedError
from honed.records import dataclass
from honed.text.tokenizer import Tokenizer, encoded, no_panic

_CHARACTERS_A_TOKEN = 16
"""Of a long text so many for each token that is kept are looked at first; English has four to five."""
_SPACE = re.compile(r"\s")


@dataclass(frozen=True)
class EncoderInput:
    """One row a token. types: 0, or what the post-processor gives the second text of a pair.

    spans: begin and end of each token in its text, in characters; None for those that were put around the texts.
    dropped: tokens that did not fit, 0 if all is there; of a text of which not even all was looked at, those seen.
    """

    tokens: tuple[int, ...]
    types: tuple[int, ...]
    spans: tuple[tuple[int, int] | None, ...]
    dropped: int

    @staticmethod
    def of_tokens(tokens: Sequence[int]) -> EncoderInput:
        """One text that is token ids already, those around it included: it has no characters to be found in."""
        return EncoderInput(tuple(tokens), (0,) * len(tokens), (None,) * len(tokens), 0)


class EncoderTexts:
    """Texts to `EncoderInput` for one tokenizer and one length."""

    def __init__(self, tokenizer: Tokenizer, limit: int, *, lowercase: bool = False) -> None:
        """`limit`: tokens of an input, those around the texts included. UnsupportedError where that leaves no room."""
        self._fast = tokenizer.fast
        self._lowercase = lowercase
        self._room = {pair: limit - self._fast.num_special_tokens_to_add(pair) for pair in (False, True)}
        if self._room[False] < 1:
            raise UnsupportedError(
                f"the tokenizer puts {limit - self._room[False]} tokens around a text, and the model takes {limit}"
            )

    def encode(self, text: str) -> EncoderInput:
        """One text. A text that is not Unicode: ParameterError; a tokenizer that breaks on it: UnsupportedError."""
        ids, seen = self._ids(text, self._room[False])
        return self._around(ids, None, max(0, seen - self._room[False]))

    def encode_pair(self, first: str, second: str) -> EncoderInput:
        """Two texts behind each other. Where they are too long together, the longer one is cut to what the shorter one
        leaves, and both to halves where that is less than the shorter one."""
        room = max(self._room[True], 0)
        one, one_seen = self._ids(first, room)
        two, two_seen = self._ids(second, room)
        dropped = one_seen + two_seen - room
        if dropped > 0:
            short, long = sorted((one_seen, two_seen))
            if 2 * short > room:
                short, long = room // 2, room - room // 2
            else:
                long = room - short
            one_kept, two_kept = (long, short) if one_seen > two_seen else (short, long)
            one.truncate(one_kept)
            two.truncate(two_kept)
        return self._around(one, two, max(0, dropped))

    def _ids(self, text: str, room: int) -> tuple[Any, int]:
        """The library's encoding of a text, of at most `room` tokens, and how many tokens were seen.

        Of a long text only a beginning is looked at, up to a space, as long as that has clearly more tokens than are
        kept: splitting it up takes time by the length.
        """
        _check_unicode(text)
        end = _CHARACTERS_A_TOKEN * room
        while end < len(text):
            space = _SPACE.search(text, end)
            part = text if space is None else text[: space.start()]
            found = encoded(self._fast, self._spelled(part))
            if len(found.ids) > room or len(part) == len(text):
                break
            end *= 4
        else:
            found = encoded(self._fast, self._spelled(text))
        seen = len(found.ids)
        found.truncate(room)
        return found, seen

    def _spelled(self, text: str) -> str:
        return text.lower() if self._lowercase else text

    def _around(self, one: Any, two: Any, dropped: int) -> EncoderInput:
        with no_panic("tokenizer"):
            whole = self._fast.post_process(one, two, True)
        return EncoderInput(
            tuple(whole.ids),
            tuple(whole.type_ids),
            tuple(
                None if added else span for added, span in zip(whole.special_tokens_mask, whole.offsets, strict=True)
            ),
            dropped,
        )


def _check_unicode(text: object) -> None:
    if not isinstance(text, str):
        raise ParameterError("text", text, "must be a text")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        shown = text[error.start : error.start + 1]
        raise ParameterError("text", shown, f"character {error.start} is half of a surrogate pair") from None
