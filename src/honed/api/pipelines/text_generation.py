"""`honed.pipeline`: text generation in the manner of transformers, so that a program for it runs by changing an import.

Names, defaults and shapes of results are those of its text-generation pipeline. Left out are search with beams,
returned tensors and stop sequences; a model of `honed.load` knows stop texts, and other tasks have verbs of their own.
A text goes on with the space that stands there, which transformers loses where tokens are words or of SentencePiece.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

from honed.api.generation import TextStream
from honed.api.language_model import LanguageModel
from honed.api.load import load
from honed.api.prompt import is_begun
from honed.backends.options import RunKeywords, RunOptions
from honed.errors import ParameterError
from honed.notes import note
from honed.parameters import choice, flag, takes, whole_number
from honed.runtime.options import SamplingKeywords, SamplingOptions
from honed.runtime.request import GREEDY, MOST, Sampling
from honed.text.chat_template import Message
from honed.text.tokenizer import Tokenizer

Chat = Sequence[Message]
Record = dict[str, Any]
"""generated_text: a text for a text, for a chat its messages with the reply as the last one."""

_TASKS = ("text-generation",)
_NEW_TOKENS = 256
_SAMPLED = Sampling(temperature=0.7, top_k=50)
"""What transformers' pipeline does where neither the call nor the checkpoint says anything."""
_OF_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "seed")
_HERE = ("cpu", "auto", "-1", "None")

_seeds: list[random.Random] = []
"""The one of `set_seed`, if it was called."""


def set_seed(seed: int) -> None:
    """Makes what pipelines of this process draw from now on repeatable, where a call gives no seed of its own."""
    _seeds[:] = [random.Random(whole_number("seed", seed, 0, MOST))]


@takes(RunKeywords)
def pipeline(
    task: str = "text-generation",
    model: str | Path | LanguageModel | None = None,
    *,
    revision: str | None = None,
    device: object = None,
    device_map: object = None,
    torch_dtype: object = None,
    **given: Unpack[RunKeywords],
) -> TextGenerationPipeline:
    """A pipeline over a model that is given by any name that `honed.load` takes, or that is loaded already.

    torch_dtype, or dtype, may be a name or a dtype of torch. device, device_map: cpu, auto or -1, since models run on
    the processor here. What else may be given is how the model is run (`honed.RunOptions`). Errors: as of `honed.load`;
    ParameterError for another task or device.
    """
    choice("task", task, _TASKS)
    for name, place in (("device", device), ("device_map", device_map)):
        if str(place) not in _HERE:
            raise ParameterError(name, place, "models run on the processor here; must be cpu, or left out")
    if isinstance(model, LanguageModel):
        return TextGenerationPipeline(model)
    if model is None:
        raise ParameterError("model", model, "must name a model, for instance smollm2")
    dtype = given.get("dtype") if torch_dtype is None else torch_dtype
    if dtype is not None:
        given = {**given, "dtype": str(dtype).removeprefix("torch.")}  # type: ignore[typeddict-item]
    found = load(model, RunOptions(**given), revision=revision)
    if not isinstance(found, LanguageModel):
        found.generate()  # an encoder: says so
    return TextGenerationPipeline(found)


class TextGenerationPipeline:
    """Goes on with texts, or answers chats. Close it, or use it in a with statement, to let the weights go."""

    task = "text-generation"

    def __init__(self, model: LanguageModel) -> None:
        self.model = model

    @property
    def tokenizer(self) -> Tokenizer:
        return self.model.tokenizer

    @takes(SamplingKeywords)
    def __call__(
        self,
        text_inputs: str | Chat | Sequence[str] | Sequence[Chat],
        *,
        max_new_tokens: int | None = None,
        max_length: int | None = None,
        num_return_sequences: int = 1,
        return_full_text: bool = True,
        do_sample: bool | None = None,
        batch_size: int | None = None,
        **given: Unpack[SamplingKeywords],
    ) -> list[Any]:
        """A text, the messages of a chat, or a list of either: a list of `num_return_sequences` `Record`s, or a list
        of such lists.

        max_new_tokens: of a reply, 256 if nothing is said. max_length: of prompt and reply together; max_new_tokens
        counts where both are given. return_full_text: the prompt with what follows, else what follows. A chat that ends
        with a message of the assistant is continued. do_sample: False takes the most probable token; None is as the
        checkpoint has it, and if that does not sample, sampling at a temperature of 0.7. batch_size is not needed: all
        prompts run together. Others: those of `honed.Sampling`. Out of range: ParameterError.
        """
        count = whole_number("num_return_sequences", num_return_sequences, 1)
        full = flag("return_full_text", return_full_text)
        if batch_size is not None:
            whole_number("batch_size", batch_size, 1)
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

    def close(self) -> None:
        """Closes the model."""
        self.model.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

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
