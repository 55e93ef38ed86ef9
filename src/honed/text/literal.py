"""Text that stays text although it spells control tokens.

What users write must not open turns. So spellings of control tokens in it are broken by a mark before the chat
template runs (`Marks`), and when the prompt is made into tokens only the spellings that are still whole count: those
are the template's own (`LiteralText.encode`). A text without any such spelling goes the plain way. Not here: what is a
message and what a plain prompt (`api/prompt.py`).

The ids of a text with marks are those of the tokenizer with the broken spellings unknown to it: the same model is
asked, with a private character in place of each token that the template wrote, and with no other added to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, pairwise
from typing import Any, NamedTuple

from tokenizers import AddedToken
from tokenizers import Tokenizer as FastTokenizer

from honed.errors import ParameterError
from honed.text.spellings import Spellings
from honed.text.tokenizer import Tokenizer, encoded

_NO_CHARACTERS = range(0xFDD0, 0xFDE0)
_PRIVATE = (range(0xE000, 0xF900), range(0xF0000, 0xFFFFE), range(0x100000, 0x10FFFE))
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})


class Marks:
    """Breaks the spellings of control tokens in what is given to a template."""

    def __init__(self, mark: str, of_users: Spellings, of_assistant: Spellings) -> None:
        self.mark = mark
        self._of_users = of_users
        self._of_assistant = of_assistant

    def messages(self, messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The messages with every text in them marked, but for their usual roles and the types of their parts."""
        return [
            {
                self._key(key): value if key == "role" and value in _ROLES else self._value(value, message)
                for key, value in message.items()
            }
            for message in messages
        ]

    def text(self, text: str, *, of_assistant: bool = False) -> str:
        """The text with a mark inside each spelling, and inside what could become one beside other text."""
        spellings = self._of_assistant if of_assistant else self._of_users
        places = {place + 1 for place, _ in spellings.places(text)}
        # Templates trim, so that what counts as the end is what stands before the spaces.
        start, end = len(text) - len(text.lstrip()), len(text.rstrip())
        if begun := spellings.begun_at_the_end(text[start:end]):
            places.add(end - begun + 1)
        if ended := spellings.ended_at_the_start(text[start:end]):
            places.add(start + ended)
        cuts = [0, *sorted(places), len(text)]
        return self.mark.join(text[a:b] for a, b in pairwise(cuts)) if places else text

    def _value(self, value: Any, message: Mapping[str, Any]) -> Any:
        if isinstance(value, str):
            return self.text(value, of_assistant=message.get("role") == "assistant")
        if isinstance(value, Mapping):
            return {
                self._key(key): item if key == "type" else self._value(item, message) for key, item in value.items()
            }
        return [self._value(item, message) for item in value] if isinstance(value, list | tuple) else value

    def _key(self, key: Any) -> Any:
        return self.text(key) if isinstance(key, str) and key not in ("role", "content", "type", "text") else key


class LiteralText:
    """Texts with marks, for one tokenizer.

    Control tokens are the special ones. In texts of users also the other added tokens that the template writes, since
    not every checkpoint calls the tokens around its turns special; what models say may hold such (`<think>`).
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._fast = tokenizer.fast
        self._added = {token_id: token for token_id, token in tokenizer.added.items() if token.content}
        template = tokenizer.chat_template or ""
        special = {token.content for token in self._added.values() if token.special}
        written = {
            token.content for token in self._added.values() if not token.content.isspace() and token.content in template
        }
        self._control = special | written
        self._of_users, self._of_assistant = Spellings(self._control), Spellings(special)
        self._by_phase = [
            {token.content: token for token in self._added.values() if token.normalized is normalized}
            for normalized in (False, True)
        ]
        self._spellings = [Spellings(tokens) for tokens in self._by_phase]

    def marks(self, given: object) -> Marks:
        """Marks by a character that nothing in `given` holds; JSON values."""
        used = set(chain.from_iterable(_texts(given)))
        mark = next((mark for mark in map(chr, chain(_NO_CHARACTERS, *_PRIVATE)) if mark not in used), None)
        if mark is None:
            raise ParameterError("prompt", "a text", "must not hold every private character of Unicode")
        return Marks(mark, self._of_users, self._of_assistant)

    def encode(self, text: str, mark: str) -> list[int]:
        """Ids of a text in which marks keep spellings from being tokens; nothing is added around them."""
        plain = text.replace(mark, "")
        ids: list[int]
        if plain != text:
            found = self._whole(text, mark)
            # Nothing was kept from being a token, and nothing has become one.
            if [token.word for token in found] != [token.word for token in self._whole(plain, "")]:
                words = {token.word for token in found}
                tokens = {token_id: token for token_id, token in self._added.items() if token.content in words}
                return _Private(self._fast, self._added, tokens, plain).encode(text, mark, found)
        ids = encoded(self._fast, plain).ids
        return ids

    def _whole(self, text: str, mark: str) -> list[_Found]:
        """Of the tokens in a text with marks those that the library finds too.

        Of tokens that are normalized it looks for what the normalizer makes of them, which may be found nowhere but
        at the start of a text.
        """
        encoding = encoded(self._fast, text)
        named = [
            (start, end, self._added[token_id].content)
            for token_id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
            if token_id in self._added
        ]
        seen = iter([*named, (len(text) + 1, len(text) + 1, "")])
        start, end, word = next(seen)
        whole: list[_Found] = []
        for token in self._tokens_of(text, mark):
            while end <= token.start:
                start, end, word = next(seen)
            if start <= token.start and token.end <= end and word == token.word:
                whole.append(token)
        return whole

    def _tokens_of(self, text: str, mark: str) -> list[_Found]:
        """Added tokens in a text as the library finds them: those that are not normalized, then, between, others."""
        found: list[_Found] = []
        spans = [(0, len(text))]
        for tokens, spellings in zip(self._by_phase, self._spellings, strict=True):
            rest: list[tuple[int, int]] = []
            for start, end in spans:
                part, after, resume = text[start:end], 0, 0
                for place, word in spellings.places(part):
                    if place < resume:
                        continue
                    past = resume = place + len(word)
                    if tokens[word].single_word and not _stands_alone(part, place, past):
                        continue
                    if len(word) == 1 and word in self._control and mark and part[past : past + 1] == mark:
                        continue  # the one spelling that a mark inside it cannot break
                    found.append(_Found(start + place, start + past, word))
                    rest.append((start + after, start + place))
                    after = past
                rest.append((start + after, end))
            spans = rest
        return sorted(found)


class _Found(NamedTuple):
    start: int
    end: int
    word: str


def _stands_alone(text: str, start: int, end: int) -> bool:
    return not re.match(r"\w", text[max(start - 1, 0) : start]) and not re.match(r"\w", text[end : end + 1])


class _Private:
    """The model of a tokenizer with private characters for some of its added tokens, and without the others."""

    def __init__(
        self, fast: FastTokenizer, added: Mapping[int, AddedToken], tokens: Mapping[int, AddedToken], text: str
    ) -> None:
        """`tokens`: those of `added` that count. `text`: all that will be encoded."""
        self._fast = FastTokenizer(fast.model)  # shared, not copied
        if fast.normalizer is not None:
            self._fast.normalizer = fast.normalizer
        if fast.pre_tokenizer is not None:
            self._fast.pre_tokenizer = fast.pre_tokenizer
        used = set(text)
        free = (private for private in map(chr, chain(*_PRIVATE)) if private not in used)
        self._characters: dict[str, str] = {}
        self._ids: dict[str, int] = {}
        for token_id, token in tokens.items():
            private = next((private for private in free if fast.token_to_id(private) is None), None)
            if private is None:
                raise ParameterError("prompt", "a text", "must not hold every private character of Unicode")
            self._characters[token.content] = private
            self._ids[private] = token_id
            flags = {name: getattr(token, name) for name in ("single_word", "lstrip", "rstrip", "normalized")}
            self._fast.add_tokens([AddedToken(private, special=False, **flags)])
        unknown = getattr(fast.model, "unk_token", None)
        self._special = {token_id for token_id, token in added.items() if token.special and token.content != unknown}

    def encode(self, text: str, mark: str, found: Sequence[_Found]) -> list[int]:
        pieces: list[str] = []
        after = 0
        for token in found:
            pieces += [text[after : token.start].replace(mark, ""), self._characters[token.word]]
            after = token.end
        ids: list[int] = []
        whole = "".join([*pieces, text[after:].replace(mark, "")])
        encoding = encoded(self._fast, whole)
        for token_id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
            # By the text that it stands for: where ids have gaps, a new token may have the id of another.
            private = whole[start:end].strip()
            if private in self._ids and token_id == self._fast.token_to_id(private):
                ids.append(self._ids[private])
            elif token_id in self._special:
                ids += self._spelled_out(whole[start:end])
            else:
                ids.append(token_id)
        return ids

    def _spelled_out(self, token: str) -> list[int]:
        """A control token that the model makes of plain text by itself, as two pieces of text."""
        for cut in range(1, len(token)):
            ids = [token_id for part in (token[:cut], token[cut:]) for token_id in encoded(self._fast, part).ids]
            if ids and not self._special & set(ids):
                return ids
        raise ParameterError("prompt", token, "is a control token, which this tokenizer cannot write as text")


def _texts(given: object) -> Iterator[str]:
    if isinstance(given, str):
        yield given
    elif isinstance(given, Mapping):
        yield from _texts(list(given))
        yield from _texts(list(given.values()))
    elif isinstance(given, list | tuple):
        for value in given:
            yield from _texts(value)
