"""Texts and token ids of a request as what an encoder is given, with their numbers of tokens. Runs in threads.

A text that is longer than the model takes is refused with both numbers, unless the caller wants it cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from honed.api.embed import TextEncoder
from honed.errors import ParameterError
from honed.text.encoder_input import EncoderInput, EncoderTexts

MOST_INPUTS = 2048
"""Of one request, as OpenAI's API has it."""


def listed(name: str, given: str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]]) -> list[str | list[int]]:
    """One text, one list of token ids, or several of either, as a list. ParameterError for one that is empty."""
    if isinstance(given, str):
        found: list[str | list[int]] = [given]
    elif given and all(isinstance(item, int) for item in given):
        found = [[item for item in given if isinstance(item, int)]]
    else:
        found = [item if isinstance(item, str) else list(item) for item in given if not isinstance(item, int)]
    if not 1 <= len(found) <= MOST_INPUTS:
        raise ParameterError(name, f"{len(found)} texts", f"must hold 1 to {MOST_INPUTS} texts")
    for index, item in enumerate(found):
        if not item:
            raise ParameterError(name if len(found) == 1 else f"{name}[{index}]", item, "must not be empty")
    return found


class Inputs:
    """What one encoder is given, and how many tokens that is."""

    def __init__(self, encoder: TextEncoder, *, cut: bool = False) -> None:
        """cut: whether texts that are too long are cut."""
        settings = encoder.settings
        self._encoder = encoder
        self._texts = EncoderTexts(encoder.tokenizer, encoder.context, lowercase=settings.lowercase)
        self._cut = cut
        self._vocabulary = encoder.tokenizer.fast.get_vocab_size()
        self.found: list[EncoderInput] = []
        self.tokens = 0

    def add(self, place: str, item: str | Sequence[int], prompt: str | None = None) -> None:
        """One more text with the prompt of this name before it (None: the checkpoint's default), or its token ids,
        those around it included. ParameterError names the place."""
        found = (
            self._texts.encode(self._before(prompt) + item) if isinstance(item, str) else self._of_tokens(place, item)
        )
        if found.dropped:
            if not self._cut:
                raise self._too_long(place, len(found.tokens) + found.dropped)
            found = replace(found, dropped=0)  # as the caller wants it: nobody has to be told
        self.tokens += len(found.tokens)
        self.found.append(found)

    def _of_tokens(self, place: str, tokens: Sequence[int]) -> EncoderInput:
        for token in tokens:
            if not 0 <= token < self._vocabulary:
                raise ParameterError(place, token, f"must be token ids from 0 to {self._vocabulary - 1}")
        kept = EncoderInput.of_tokens(tokens[: self._encoder.context])
        return replace(kept, dropped=len(tokens) - len(kept.tokens))

    def _before(self, prompt: str | None) -> str:
        """The words of a prompt. One that is not known is refused where the vectors are asked for."""
        settings = self._encoder.settings
        name = settings.default_prompt if prompt is None else prompt
        return settings.prompts.get(name, "") if name else ""

    def _too_long(self, place: str, tokens: int) -> ParameterError:
        most = self._encoder.context
        return ParameterError(
            place, f"{tokens} tokens", f"must have at most {most}, which is what the model takes; shorten it"
        )
