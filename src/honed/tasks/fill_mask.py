"""Texts with masked tokens to the tokens that may stand there, by the head of a masked language model.

Several masks are filled each for itself: their probabilities are no joint ones. Not here: continuing a text, which
models that generate do.
"""

from __future__ import annotations

from collections.abc import Sequence

from honed.backends.encoder import Output
from honed.errors import ParameterError, UnsupportedError, quoted
from honed.records import dataclass
from honed.tasks.task import Rows, order, probabilities, read
from honed.text.encoder_input import EncoderInput, EncoderTexts
from honed.text.tokenizer import Tokenizer, encoded

_SPELLINGS = ("[MASK]", "<mask>")
"""Of tokenizers whose files do not say which token it is."""


@dataclass(frozen=True)
class Filling:
    """A token that may stand at a mask: its probability, id and text, and the whole text with it."""

    score: float
    token: int
    token_str: str
    sequence: str


class FillMask:
    """Implements `EncoderTask`: a text with masks to the best fillings of each of them, in the order of the masks."""

    output: Output = "vocabulary"

    def __init__(
        self, texts: EncoderTexts, tokenizer: Tokenizer, *, most: int = 5, targets: Sequence[str] | None = None
    ) -> None:
        """most: fillings of a mask. targets: tokens to choose among; of a text that is several tokens, the first one is
        meant. UnsupportedError for a tokenizer without a mask, ParameterError for targets that are no token."""
        self._texts = texts
        self._tokenizer = tokenizer
        self._most = most
        self.mask_spelling, self._mask = mask_token(tokenizer)
        padding = tokenizer.special_tokens.get("pad_token")
        self._padding = None if padding is None else tokenizer.fast.token_to_id(padding)
        self._targets = None if targets is None else sorted({self._target(target) for target in targets})
        if self._targets == []:
            raise ParameterError("targets", targets, "must name at least one token")

    def inputs(self, given: str) -> Sequence[EncoderInput]:
        if not isinstance(given, str):
            raise ParameterError("text", given, "must be a text")
        found = read(self._texts, given)
        if self._mask not in found.tokens:
            where = "cut before its" if found.dropped and self.mask_spelling in given else "without a"
            raise ParameterError("text", given[:60], f"is {where} {self.mask_spelling}, which stands for what is asked")
        return [found]

    def kept(self, given: EncoderInput) -> Sequence[int]:
        """The masks."""
        return [place for place, token in enumerate(given.tokens) if token == self._mask]

    def result(self, given: str, inputs: Sequence[EncoderInput], rows: Sequence[Rows]) -> list[list[Filling]]:
        tokens = list(inputs[0].tokens)
        masks = self.kept(inputs[0])
        return [
            self._fillings(tokens, place, row, single=len(masks) == 1)
            for place, row in zip(masks, rows[0], strict=True)
        ]

    def _fillings(self, tokens: list[int], place: int, logits: Rows, *, single: bool) -> list[Filling]:
        scores = probabilities(logits, "softmax")
        known = range(len(scores)) if self._targets is None else self._targets
        chosen = scores if self._targets is None else scores[self._targets]
        found = []
        for best in order(chosen)[: self._most]:
            token = known[best]
            whole = [*tokens[:place], token, *tokens[place + 1 :]]
            found.append(
                Filling(
                    score=float(chosen[best]),
                    token=token,
                    token_str=self._decoded([token], skip_special=False),
                    # Other masks would be left out with the special tokens.
                    sequence=self._decoded([one for one in whole if one != self._padding], skip_special=single),
                )
            )
        return found

    def _decoded(self, tokens: list[int], *, skip_special: bool) -> str:
        text: str = self._tokenizer.fast.decode(tokens, skip_special_tokens=skip_special)
        return text

    def _target(self, text: object) -> int:
        if not isinstance(text, str):
            raise ParameterError("targets", text, "must be a text or a list of texts")
        found = self._tokenizer.fast.token_to_id(text)
        if found is None:
            ids = encoded(self._tokenizer.fast, text).ids
            if not ids:
                raise ParameterError("targets", text, "holds no token")
            found = ids[0]
        return int(found)


def mask_token(tokenizer: Tokenizer) -> tuple[str, int]:
    """How the mask is written, and its id. UnsupportedError where there is none."""
    for text in (tokenizer.special_tokens.get("mask_token"), *_SPELLINGS):
        token = None if text is None else tokenizer.fast.token_to_id(text)
        if text is not None and token is not None:
            return text, int(token)
    said = tokenizer.special_tokens.get("mask_token")
    raise UnsupportedError(
        "fill-mask: the tokenizer has no token that masks"
        + ("" if said is None else f"; its file names {quoted(said)}")
    )
