"""Texts to vectors: what stands before a text, how its rows become one, and many texts in few steps.

Follows the checkpoint (`checkpoints/huggingface/sentence_files.py`) where the caller leaves something open. Not here:
running a batch (`backends/`), and splitting texts into tokens (`text/encoder_input.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from honed.backends.encoder import EncoderBackend, Output, TextBatch
from honed.checkpoints.huggingface.sentence_files import Pooling, SentenceSettings
from honed.errors import ParameterError, UnsupportedError
from honed.notes import note
from honed.records import dataclass
from honed.text.encoder_input import EncoderInput, EncoderTexts
from honed.text.tokenizer import Tokenizer

Text = str | tuple[str, str] | EncoderInput
"""A text, or two that are read together; or what became of them, which no prompt is put before."""

WINDOW = 256
"""Texts that are taken from an iterator at a time: enough that steps are full."""
_OUTPUTS: dict[Pooling, Output] = {"mean": "mean", "cls": "first", "last": "last"}
_TINY = np.float32(1e-12)


@dataclass(frozen=True)
class EmbedOptions:
    """None: as the checkpoint says. prompt: the name of one of its prompts, "" for none at all. dimensions: so many of
    the first numbers of a vector are kept, before it is made length 1; None: all."""

    pooling: Pooling | None = None
    normalize: bool | None = None
    prompt: str | None = None
    dimensions: int | None = None


AS_THE_CHECKPOINT = EmbedOptions()


class Embedder:
    """Texts to vectors of one encoder; not safe for two threads at once."""

    def __init__(self, backend: EncoderBackend, tokenizer: Tokenizer, settings: SentenceSettings, name: str) -> None:
        """`name` is that of the model, for notes."""
        self._backend = backend
        self._settings = settings
        self._name = name
        self.limit = min(backend.context, settings.limit or backend.context)
        self._texts = EncoderTexts(tokenizer, self.limit, lowercase=settings.lowercase)
        self._told = False

    @property
    def texts(self) -> EncoderTexts:
        """What makes texts tokens, up to the limit."""
        return self._texts

    @property
    def pooling(self) -> Pooling:
        """What is usual: the checkpoint's, else the mean."""
        return self._settings.pooling or "mean"

    @property
    def prompts(self) -> tuple[str, ...]:
        """Names of the checkpoint's prompts."""
        return tuple(self._settings.prompts)

    def embed(self, texts: Sequence[Text], options: EmbedOptions = AS_THE_CHECKPOINT) -> NDArray[np.float32]:
        """[n, width], in the order of the texts. A vector does not depend on the texts beside it.

        A text that is longer than `limit` is cut, and a note says so. Errors: ParameterError for what is no text and
        for a prompt that the checkpoint has not.
        """
        rows = np.empty((len(texts), options.dimensions or self._backend.width), dtype=np.float32)
        for start in range(0, len(texts), WINDOW):
            window = texts[start : start + WINDOW]
            rows[start : start + len(window)] = self._window(window, options)
        return rows

    def embed_iter(
        self, texts: Iterable[Text], options: EmbedOptions = AS_THE_CHECKPOINT
    ) -> Iterator[NDArray[np.float32]]:
        """A vector [width] for each text of an iterator, in its order; texts are taken as vectors are asked for, up to
        `WINDOW` ahead."""
        rest = iter(texts)
        while window := list(islice(rest, WINDOW)):
            yield from self._window(window, options)

    def inputs(self, texts: Sequence[Text], options: EmbedOptions = AS_THE_CHECKPOINT) -> list[EncoderInput]:
        """Texts as the model reads them; safe for several threads at once. Errors: those of `embed`."""
        before = self._prompt(options)
        inputs = [self._input(text, before) for text in texts]
        self._tell_of_cuts(inputs)
        return inputs

    def output(self, options: EmbedOptions) -> Output:
        """What is asked of the backend."""
        return _OUTPUTS[options.pooling or self.pooling]

    def finished(self, rows: NDArray[np.float32], options: EmbedOptions) -> NDArray[np.float32]:
        """Vectors of the rows that the backend gave."""
        normalize = self._settings.normalize if options.normalize is None else options.normalize
        rows = rows[..., : options.dimensions]
        return normalized(rows) if normalize else rows

    def _window(self, texts: Sequence[Text], options: EmbedOptions) -> NDArray[np.float32]:
        return self.vectors(self.inputs(texts, options), options)

    def vectors(self, inputs: Sequence[EncoderInput], options: EmbedOptions = AS_THE_CHECKPOINT) -> NDArray[np.float32]:
        """[n, width] of texts that are tokens already, each of `limit` at most."""
        output = self.output(options)
        rows = np.empty((len(inputs), self._backend.width), dtype=np.float32)
        for chosen in steps([len(one.tokens) for one in inputs], self._backend.step_tokens):
            rows[chosen] = self._backend.encode(batch_of([inputs[index] for index in chosen]), output)
        return self.finished(rows, options)

    def _prompt(self, options: EmbedOptions) -> str:
        """What goes before each text."""
        name = self._settings.default_prompt if options.prompt is None else options.prompt
        if not name:
            return ""
        if name not in self._settings.prompts:
            known = f"must be one of {', '.join(self.prompts)}" if self.prompts else "this checkpoint has no prompts"
            raise ParameterError("prompt", name, known)
        if not self._settings.pools_prompt:
            raise UnsupportedError(
                f"{self._name}: prompt {name!r:.60}: the checkpoint leaves the rows of a prompt out when it pools, "
                "which is not supported"
            )
        return self._settings.prompts[name]

    def _input(self, text: object, before: str) -> EncoderInput:
        match text:
            case str():
                found = self._texts.encode(before + text)
            case (str(first), str(second)):
                found = self._texts.encode_pair(before + first, second)
            case EncoderInput():
                if len(text.tokens) > self.limit:
                    raise ParameterError("texts", f"{len(text.tokens)} tokens", f"must have at most {self.limit}")
                found = text
            case _:
                raise ParameterError("texts", text, "must be a text, or a pair of two")
        if not found.tokens:
            raise ParameterError("texts", text, "holds no token")
        types = self._backend.types
        if types and max(found.types, default=0) >= types:
            raise UnsupportedError(
                f"{self._name}: its tokenizer gives a pair of texts {max(found.types) + 1} types of tokens, and the "
                f"model has {types}"
            )
        return found

    def _tell_of_cuts(self, inputs: Sequence[EncoderInput]) -> None:
        cut = sum(1 for one in inputs if one.dropped)
        if cut and not self._told:
            self._told = True  # once: a file may have a thousand long lines
            note(f"{self._name}: {cut} of {len(inputs)} texts are longer than {self.limit} tokens and are cut there")


def steps(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Which texts go into one step: all of them once, of `most` tokens at most together, longest first.

    A text alone may be as long as it is; texts of no tokens are in steps too.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    chosen: list[int] = []
    taken = 0
    for index in order:
        if chosen and taken + lengths[index] > most:
            yield chosen
            chosen, taken = [], 0
        chosen.append(index)
        taken += lengths[index]
    if chosen:
        yield chosen


def normalized(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row divided by its length, as torch's `normalize`: a row of zeros stays one."""
    lengths = np.sqrt(np.square(rows).sum(axis=-1, keepdims=True, dtype=np.float32))
    unit: NDArray[np.float32] = rows / np.maximum(lengths, _TINY)
    return unit


def batch_of(inputs: Sequence[EncoderInput]) -> TextBatch:
    """Texts back to back."""
    return TextBatch(
        tokens=np.array([token for one in inputs for token in one.tokens], dtype=np.int32),
        types=np.array([kind for one in inputs for kind in one.types], dtype=np.int32),
        lengths=np.array([len(one.tokens) for one in inputs], dtype=np.int32),
    )
