"""Text generation in the manner of transformers, so that a program for it runs by changing an import.

Names, defaults and shapes of results are those of its text-generation pipeline. Left out are search with beams,
returned tensors and stop sequences; a model of `honed.load` knows stop texts.
A text goes on with the space that stands there, which transformers loses where tokens are words or of SentencePiece.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Unpack

from honed.api.generation import TextStream
from honed.api.pipelines.base import GeneratingPipeline, Record
from honed.api.prompt import is_begun
from honed.errors import ParameterError
from honed.notes import note
from honed.parameters import flag, takes, whole_number
from honed.runtime.options import SamplingKeywords, SamplingOptions
from honed.runtime.request import GREEDY, MOST, Sampling
from honed.text.chat_template import Message

Chat = Sequence[Message]

_NEW_TOKENS = 256
_SAMPLED = Sampling(temperature=0.7, top_k=50)
"""What transformers' pipeline does where neither the call nor the checkpoint says anything."""
_OF_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "seed")
_seeds: list[random.Random] = []
"""The one of `set_seed`, if it was called."""


def set_seed(seed: int) -> None:
    """Makes what pipelines of this process draw from now on repeatable, where a call gives no seed of its own."""
    _seeds[:] = [random.Random(whole_number("seed", seed, 0, MOST))]


class TextGenerationPipeline(GeneratingPipeline):
    """Goes on with texts, or answers chats."""

    task = "text-generation"
    also = SamplingKeywords

    @takes(SamplingKeywords)
    def call(
        self,
        text_inputs: str | Chat | Sequence[str] | Sequence[Chat],
        *,
        max_new_tokens: int | None = None,
        max_length: int | None = None,
        num_return_sequences: int = 1,
        return_full_text: bool = True,
        do_sample: bool | None = None,
        **given: Unpack[SamplingKeywords],
    ) -> list[Any]:
        """A text, the messages of a chat, or a list of either: a list of `num_return_sequences` times
        {"generated_text"}, or a list of such lists; it is a text for a text, and for a chat its messages with the reply
        as the last one.

        max_new_tokens: of a reply, 256 if nothing is said. max_length: of prompt and reply together; max_new_tokens
        counts where both are given. return_full_text: the prompt with what follows, else what follows. A chat that ends
        with a message of the assistant is continued. do_sample: False takes the most probable token; None is as the
        checkpoint has it, and if that does not sample, sampling at a temperature of 0.7. All prompts run together.
        Others: those of `honed.Sampling`. Out of range: ParameterError.
        """
        count = whole_number("num_return_sequences", num_return_sequences, 1)
        full = flag("return_full_text", return_full_text)
        sampling = self._sampling(do_sample, given)
        if count > 1 and sampling.temperature == 0:
            raise ParameterError("num_return_sequences", count, "must be 1 without do_sample: all would be the same")
        prompts, single = _prompts(text_inputs)
        streams: list[TextStream] = []
        try:
            for prompt in prompts:
                most = self._most_tokens(prompt, max_new_tokens, max_length)
                for _ in range(count):
                    streams.append(self.model.stream(prompt, max_tokens=most, sampling=_drawn(sampling)))
            texts = [stream.finish().text for stream in streams]
        finally:
            for stream in streams:
                stream.close()
        records = [
            [_record(prompt, text, full) for text in texts[place * count : (place + 1) * count]]
            for place, prompt in enumerate(prompts)
        ]
        return records[0] if single else records

    def _sampling(self, do_sample: bool | None, given: SamplingKeywords) -> Sampling:
        own, options = self.model.defaults, SamplingOptions(**given)
        if do_sample is not None and not flag("do_sample", do_sample):
            unused = [name for name in _OF_SAMPLING if name in options.chosen]
            if unused:
                note(f"{', '.join(unused)}: not used, since do_sample is False")
            penalty = options.repetition_penalty
            return replace(GREEDY, repetition_penalty=own.repetition_penalty if penalty is None else penalty)
        if own.temperature == 0:
            own = replace(_SAMPLED, repetition_penalty=own.repetition_penalty)
        return replace(own, **options.chosen)

    def _most_tokens(self, prompt: str | Chat, new: int | None, length: int | None) -> int:
        if new is not None:
            return whole_number("max_new_tokens", new, 1)
        if length is None:
            return _NEW_TOKENS
        taken = len(self.model.encode(prompt))
        if whole_number("max_length", length, 1) <= taken:
            raise ParameterError("max_length", length, f"must be over the {taken} tokens of the prompt")
        return length - taken


def _drawn(sampling: Sampling) -> Sampling:
    if sampling.temperature == 0 or sampling.seed is not None or not _seeds:
        return sampling
    return replace(sampling, seed=_seeds[0].getrandbits(63))


def _prompts(given: object) -> tuple[list[str | Chat], bool]:
    """The prompts, and whether only one was given."""
    if isinstance(given, str):
        return [given], True
    if not isinstance(given, list | tuple):
        raise ParameterError("text_inputs", given, "must be a text, the messages of a chat, or a list of either")
    items: list[Any] = list(given)
    if items and all(isinstance(item, Mapping) for item in items):
        return [items], True
    for item in items:
        chat = isinstance(item, list | tuple) and item and all(isinstance(message, Mapping) for message in item)
        if not (isinstance(item, str) or chat):
            raise ParameterError("text_inputs", item, "each must be a text or the messages of a chat")
    return items, False


def _record(prompt: str | Chat, text: str, full: bool) -> Record:
    if not full:
        return {"generated_text": text}
    if isinstance(prompt, str):
        return {"generated_text": prompt + text}
    messages: list[Message] = list(prompt)
    if is_begun(messages):
        last = messages.pop()
        return {"generated_text": [*messages, {**last, "content": last["content"] + text}]}
    return {"generated_text": [*messages, {"role": "assistant", "content": text}]}
