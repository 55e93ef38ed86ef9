"""A loaded encoder: texts in, vectors out. Not here: finding and loading it (`api/load.py`), and how rows become one
vector (`tasks/embeddings.py`)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from itertools import islice
from types import TracebackType
from typing import Any, NoReturn, Self, cast

import numpy as np
from numpy.typing import NDArray

from honed.api.encode_thread import EncodeThread
from honed.backends.encoder import EncoderBackend
from honed.checkpoints.huggingface.sentence_files import POOLINGS, Pooling, SentenceSettings
from honed.errors import HonedError, ParameterError, UnsupportedError
from honed.parameters import checks_names, choice, flag
from honed.tasks.embeddings import WINDOW, Embedder, EmbedOptions, Text
from honed.text.tokenizer import Tokenizer


class TextEncoder:
    """Gives texts vectors. Made by `honed.load`; close it, or use it in a with statement.

    Several threads may use it at once: what they ask for is run together, and each gets what it would get alone. It
    belongs to the process that loaded it: HonedError in one that was forked later, or where it is pickled.
    """

    def __init__(
        self,
        name: str,
        backend: EncoderBackend,
        tokenizer: Tokenizer,
        settings: SentenceSettings,
        *,
        load_seconds: float = 0.0,
    ) -> None:
        """`load_seconds`: what loading took, for reports."""
        self.name = name
        self.tokenizer = tokenizer
        self.settings = settings
        self.load_seconds = load_seconds
        self._backend: EncoderBackend | None = backend
        self._embedder: Embedder | None = Embedder(backend, tokenizer, settings, name)
        self._thread = EncodeThread(backend, f"the model {name} has been closed; load it again")
        self._width = backend.width
        self._process = os.getpid()

    @property
    def backend(self) -> EncoderBackend:
        """What runs the model. After close: HonedError."""
        if os.getpid() != self._process:
            raise HonedError(f"the model {self.name} was loaded before this process was forked; load it again in here")
        if self._backend is None:
            raise HonedError(f"the model {self.name} has been closed; load it again")
        return self._backend

    @property
    def context(self) -> int:
        """Tokens of a text, with those around it; what is longer is cut."""
        return self._open.limit

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        _ = self.backend
        return self._width

    @property
    def pooling(self) -> Pooling:
        """How rows become one where the caller does not say."""
        return self._open.pooling

    @property
    def prompts(self) -> tuple[str, ...]:
        """Names of the prompts that the checkpoint has."""
        return self._open.prompts

    @checks_names
    def embed(
        self,
        texts: Sequence[Text],
        *,
        pooling: str | None = None,
        normalize: bool | None = None,
        prompt: str | None = None,
    ) -> NDArray[np.float32]:
        """Vectors [n, width] of texts, or of pairs of texts that are read together, in their order.

        pooling: mean, cls (the first row) or last; normalize: whether each vector has length 1; prompt: the name of one
        of the checkpoint's prompts, which goes before each text, "" for none. None takes what the checkpoint says, and
        the mean, as it is, of one that says nothing. A text that is longer than `context` is cut, and a note says so. A
        vector is the same to the bit whatever the texts beside it.
        Errors: ParameterError.
        """
        options = _options(pooling, normalize, prompt)
        given = _listed(texts)
        rows = np.empty((len(given), self.width), dtype=np.float32)
        done = 0
        for future in self._submitted(iter(given), options):
            found = _result(future)
            rows[done : done + len(found)] = found
            done += len(found)
        return self._open.finished(rows, options)

    @checks_names
    async def embed_async(
        self,
        texts: Sequence[Text],
        *,
        pooling: str | None = None,
        normalize: bool | None = None,
        prompt: str | None = None,
    ) -> NDArray[np.float32]:
        """`embed` in an event loop, which goes on meanwhile. Cancelling drops what has not run yet."""
        import asyncio

        options = _options(pooling, normalize, prompt)
        given = _listed(texts)
        rows = np.empty((len(given), self.width), dtype=np.float32)
        for start in range(0, len(given), WINDOW):
            window = given[start : start + WINDOW]
            inputs = await asyncio.to_thread(self._open.inputs, window, options)
            future = self._running.submit(inputs, self._open.output(options))
            found: NDArray[np.float32] = await asyncio.wrap_future(future)
            rows[start : start + len(window)] = found
        return self._open.finished(rows, options)

    @checks_names
    def embed_iter(
        self,
        texts: Iterable[Text],
        *,
        pooling: str | None = None,
        normalize: bool | None = None,
        prompt: str | None = None,
    ) -> Iterator[NDArray[np.float32]]:
        """A vector [width] for each text of any iterable, which is read as vectors are asked for, 256 texts ahead.

        Parameters as of `embed`.
        """
        options = _options(pooling, normalize, prompt)
        if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
            raise ParameterError("texts", texts, "must give texts one after the other")
        _ = self.backend
        return self._vectors(iter(texts), options)

    def _vectors(self, texts: Iterator[Text], options: EmbedOptions) -> Iterator[NDArray[np.float32]]:
        while window := list(islice(texts, WINDOW)):
            for future in self._submitted(iter(window), options):
                yield from self._open.finished(_result(future), options)

    def _submitted(self, texts: Iterator[Text], options: EmbedOptions) -> Iterator[Future[NDArray[np.float32]]]:
        """The rows to come, by windows; the tokens of the next one are made while the last one is run."""
        last: Future[NDArray[np.float32]] | None = None
        while window := list(islice(texts, WINDOW)):
            thread = self._running
            try:
                future = thread.submit(self._open.inputs(window, options), self._open.output(options))
            except BaseException:
                if last is not None:
                    last.cancel()
                raise
            if last is not None:
                yield last
            last = future
        if last is not None:
            yield last

    @property
    def _open(self) -> Embedder:
        embedder = self._embedder
        if embedder is None:
            _ = self.backend  # says why
            raise AssertionError
        return embedder

    @property
    def _running(self) -> EncodeThread:
        _ = self.backend
        return self._thread

    def generate(self, *_: Any, **__: Any) -> NoReturn:
        """An encoder has no next token: UnsupportedError."""
        raise UnsupportedError(
            f"{self.name} is an encoder, which gives texts vectors and generates nothing; use embed, or load a model "
            "that generates"
        )

    stream = generate
    generate_batch = generate
    encode = generate

    def close(self) -> None:
        """Lets the weights go, after the step that is running. Closing twice does no harm."""
        if os.getpid() == self._process:
            self._backend = None
            self._embedder = None
            self._thread.close()

    def __enter__(self) -> Self:
        _ = self.backend
        return self

    def __reduce__(self) -> NoReturn:
        raise HonedError(f"the model {self.name} cannot be copied or pickled; load it in the process that needs it")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _options(pooling: str | None, normalize: bool | None, prompt: str | None) -> EmbedOptions:
    if prompt is not None and not isinstance(prompt, str):
        raise ParameterError("prompt", prompt, "must be the name of a prompt, or None")
    return EmbedOptions(
        pooling=None if pooling is None else cast("Pooling", choice("pooling", pooling, POOLINGS)),
        normalize=None if normalize is None else flag("normalize", normalize),
        prompt=prompt,
    )


def _result(future: Future[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Waits for it; who is interrupted does not want it any more."""
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def _listed(texts: object) -> list[Text]:
    if isinstance(texts, str):
        raise ParameterError("texts", texts, "is one text; embed([text])[0] is its vector")
    if isinstance(texts, Iterator):
        raise ParameterError("texts", texts, "is an iterator; embed_iter takes those")
    if isinstance(texts, bytes) or not isinstance(texts, Iterable):
        raise ParameterError("texts", texts, "must be a list of texts")
    return list(texts)
