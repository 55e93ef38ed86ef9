"""Labels of the tokens of a text, and of the words and names that they make up: named entities, parts of speech.

Long texts are read in windows that overlap; the scores of a token are those of the window that sees most around it, and
only then are tokens put together, so that a name on the edge of two windows is one. Groups follow B- and I- as in
transformers. Words are the tokenizer's where it marks what continues one (WordPiece); elsewhere they are what stands
between spaces, and in scripts that are written without spaces each token is a word. Places are characters of the text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal, TypeVar

import numpy as np

from honed.backends.encoder import Output
from honed.errors import ParameterError
from honed.records import dataclass
from honed.tasks.task import Rows, Scores, probabilities
from honed.text.encoder_input import EncoderInput, EncoderTexts, TextWindow
from honed.text.tokenizer import Tokenizer

T = TypeVar("T")
Aggregation = Literal["none", "simple", "first", "average", "max"]
AGGREGATIONS: tuple[Aggregation, ...] = ("none", "simple", "first", "average", "max")
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "BOPOMOFO", "THAI", "LAO", "MYANMAR", "KHMER", "TIBETAN")
"""First words of the Unicode names of letters that are written without spaces between words."""


@dataclass(frozen=True)
class TaggedToken:
    """A token, its best label and the score of that. index: its row, counted over the whole text, the one before it
    included. start, end: characters of the text."""

    entity: str
    score: float
    index: int
    word: str
    start: int
    end: int


@dataclass(frozen=True)
class Entity:
    """Tokens or words that stand side by side and have one label, told without B- and I-."""

    entity_group: str
    score: float
    word: str
    start: int
    end: int


@dataclass(frozen=True)
class _Piece:
    """A token with the scores of all labels. continues: whether it is of the same word as the one before."""

    token: str
    scores: Scores
    index: int
    start: int
    end: int
    continues: bool


@dataclass(frozen=True)
class _Word:
    label: str
    score: float
    text: str
    start: int
    end: int


class TokenClassification:
    """Implements `EncoderTask`: a text to `TaggedToken`s (aggregation none) or `Entity`s, in their order."""

    output: Output = "tags"

    def __init__(
        self,
        texts: EncoderTexts,
        tokenizer: Tokenizer,
        labels: Sequence[str],
        *,
        aggregation: Aggregation = "none",
        ignored: Sequence[str] = ("O",),
        stride: int | None = None,
    ) -> None:
        """ignored: labels that are not told. stride: tokens that windows of a long text have in common."""
        self._texts = texts
        self._fast = tokenizer.fast
        self._labels = labels
        self._aggregation = aggregation
        self._ignored = frozenset(ignored)
        self._stride = stride
        self._unknown = tokenizer.special_tokens.get("unk_token") or getattr(tokenizer.fast.model, "unk_token", None)
        self._marks_words = bool(getattr(tokenizer.fast.model, "continuing_subword_prefix", None))

    def inputs(self, given: str) -> Sequence[TextWindow]:
        """The windows of a text."""
        if not isinstance(given, str):
            raise ParameterError("inputs", given, "must be a text, or a list of texts")
        return self._texts.windows(given, self._stride)

    def kept(self, given: EncoderInput) -> Sequence[int]:
        """The rows that a window owns."""
        assert isinstance(given, TextWindow)
        return range(*given.own)

    def result(
        self, given: str, inputs: Sequence[EncoderInput], rows: Sequence[Rows]
    ) -> list[TaggedToken] | list[Entity]:
        pieces = self._pieces(given, inputs, rows)
        if self._aggregation == "none":
            tagged = [self._tagged(piece) for piece in pieces]
            return [token for token in tagged if token.entity not in self._ignored]
        if self._aggregation == "simple":
            words = [_Word(*self._best(piece.scores), piece.token, piece.start, piece.end) for piece in pieces]
        else:
            words = [self._word(group) for group in _grouped(pieces, lambda _, piece: piece.continues)]
        entities = [self._entity(group) for group in _grouped(words, _continues_entity)]
        # A token that is nothing but spaces is no entity.
        return [one for one in entities if one.entity_group not in self._ignored and one.start < one.end]

    def _pieces(self, text: str, windows: Sequence[EncoderInput], rows: Sequence[Rows]) -> list[_Piece]:
        found: list[_Piece] = []
        last: int | None = None
        """The word of the token before."""
        for window, logits in zip(windows, rows, strict=True):
            assert isinstance(window, TextWindow)
            for row, scores in zip(range(*window.own), probabilities(logits, "softmax"), strict=True):
                span = window.spans[row]
                assert span is not None
                start, end = span
                token = self._fast.id_to_token(window.tokens[row]) or ""
                unknown = token == self._unknown
                if self._marks_words:
                    continues = window.words[row] is not None and window.words[row] == last
                else:
                    continues = not unknown and _continues_word(text, found[-1] if found else None, start, end)
                found.append(
                    _Piece(
                        token=text[start:end] if unknown else token,
                        scores=scores,
                        index=window.start + row,
                        start=start,
                        end=end,
                        continues=continues,
                    )
                )
                last = window.words[row]
        return found

    def _best(self, scores: Scores) -> tuple[str, float]:
        place = int(scores.argmax())
        return self._labels[place], float(scores[place])

    def _tagged(self, piece: _Piece) -> TaggedToken:
        label, score = self._best(piece.scores)
        return TaggedToken(label, score, piece.index, piece.token, piece.start, piece.end)

    def _word(self, pieces: Sequence[_Piece]) -> _Word:
        match self._aggregation:
            case "first":
                scores = pieces[0].scores
            case "max":
                scores = max(pieces, key=lambda piece: float(piece.scores.max())).scores
            case _:
                scores = np.mean([piece.scores for piece in pieces], axis=0)
        return _Word(*self._best(scores), self._spelled([p.token for p in pieces]), pieces[0].start, pieces[-1].end)

    def _entity(self, words: Sequence[_Word]) -> Entity:
        return Entity(
            entity_group=words[0].label.split("-", 1)[-1],
            score=float(np.mean([word.score for word in words])),
            word=self._spelled([word.text for word in words]),
            start=words[0].start,
            end=words[-1].end,
        )

    def _spelled(self, tokens: list[str]) -> str:
        decoder = self._fast.decoder
        text: str = " ".join(tokens) if decoder is None else decoder.decode(tokens)
        return text


def _grouped(items: Sequence[T], continues: Callable[[T, T], bool]) -> list[list[T]]:
    """Runs of items each of which continues the one before."""
    groups: list[list[T]] = []
    for item in items:
        if groups and continues(groups[-1][-1], item):
            groups[-1].append(item)
        else:
            groups.append([item])
    return groups


def _continues_entity(before: _Word, word: _Word) -> bool:
    """A label without B- or I- goes on with the same one before it."""
    begins, kind = _label_parts(word.label)
    return not begins and kind == _label_parts(before.label)[1]


def _label_parts(label: str) -> tuple[bool, str]:
    return (label.startswith("B-"), label[2:]) if label[:2] in ("B-", "I-") else (False, label)


def _continues_word(text: str, before: _Piece | None, start: int, end: int) -> bool:
    """Whether no space stands between a token and the one before it, and it is no word by itself."""
    if before is not None and (start < before.end or before.start == before.end == start):
        return True  # two tokens of one character; or what is behind a token that is only the space before a word
    if start in (0, end) or text[start - 1].isspace():
        return False
    return not (_is_unspaced(text[start]) or _is_unspaced(text[start - 1]))


@lru_cache(maxsize=4096)
def _is_unspaced(letter: str) -> bool:
    """Whether it is of a script without spaces; a combining mark goes with what is before it."""
    if letter < "\u0e00" or unicodedata.category(letter).startswith("M"):
        return False
    return unicodedata.name(letter, "").startswith(_UNSPACED)
