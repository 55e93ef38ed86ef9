"""A loaded encoder: texts in, vectors out, and what its head says of them, if it has one. Not here: finding and loading
it (`api/load.py`), how rows become one vector (`tasks/embeddings.py`), and which tasks heads are for
(`api/encoder_tasks.py`)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from itertools import islice
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from honed.api.encode_thread import EncodeThread
from honed.api.encoder_tasks import EncoderTasks
from honed.api.task_run import Limits, TaskRunner
from honed.backends.encoder import EncoderBackend
from honed.checkpoints.huggingface.labels import Labels
from honed.checkpoints.huggingface.scoring import Scoring
from honed.checkpoints.huggingface.sentence_files import POOLINGS, Pooling, SentenceSettings
from honed.errors import HonedError, ParameterError, UnsupportedError
from honed.parameters import checks_names, choice, flag, whole_number
from honed.tasks.embeddings import WINDOW, Embedder, EmbedOptions, Text
from honed.tasks.fill_mask import Filling
from honed.tasks.question_answering import Answer, AnswerOptions, Question
from honed.tasks.similarity import DOCUMENT, QUERY, cosines, prompt_among
from honed.tasks.task import EncoderTask, TextOrPair
from honed.tasks.text_classification import LabelScore, ranked
from honed.tasks.token_classification import Entity, TaggedToken
from honed.text.tokenizer import Tokenizer

Given = TypeVar("Given")
Result = TypeVar("Result")
_USUAL = Scoring()


class TextEncoder:
    """Gives texts vectors, and does what its head was trained for. Made by `honed.load`; close it, or use it in a with
    statement.

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
        labels: Labels | None = None,
        scoring: Scoring = _USUAL,
        load_seconds: float = 0.0,
    ) -> None:
        """labels, scoring: of the head, where there is one. load_seconds: what loading took, for reports."""
        self.name = name
        self.tokenizer = tokenizer
        self.settings = settings
        self.load_seconds = load_seconds
        self._backend: EncoderBackend | None = backend
        self._embedder: Embedder | None = Embedder(backend, tokenizer, settings, name)
        self._thread = EncodeThread(backend, f"the model {name} has been closed; load it again")
        self._width = backend.width
        self._tasks = EncoderTasks(name, self._embedder.texts, tokenizer, labels, scoring)
        self._runner = TaskRunner(lambda: self._running, Limits(name, self._embedder.limit, backend.types))
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

    @property
    def labels(self) -> Labels | None:
        """What the results of the head are called; None for a model without one."""
        return self._tasks.labels

    @property
    def tasks(self) -> EncoderTasks:
        """What the head can be asked for."""
        return self._tasks

    @checks_names
    def classify(self, texts: Sequence[TextOrPair], *, top_k: int | None = None) -> list[list[LabelScore]]:
        """Labels of texts, or of pairs, with their scores, the best first; top_k of each, None: all. The model needs a
        head for it: UnsupportedError."""
        task, labels = self._tasks.text_classification(), self.labels
        assert labels is not None
        most = None if top_k is None else whole_number("top_k", top_k, 1)
        return [ranked(labels.names, scores, most) for scores in self.run(task, _listed(texts))]

    @checks_names
    def entities(self, texts: Sequence[str], *, aggregation: str = "simple") -> list[list[TaggedToken] | list[Entity]]:
        """What the head names in texts, with its place in characters. aggregation: as of
        `honed.pipeline("token-classification")`. UnsupportedError without such a head."""
        return list(self.run(self._tasks.token_classification(aggregation), _listed(texts)))

    @checks_names
    def answer(self, question: str, context: str, *, top_k: int = 1) -> list[Answer]:
        """The parts of a text that answer a question best. UnsupportedError without such a head."""
        options = AnswerOptions(most=whole_number("top_k", top_k, 1))
        return next(self.run(self._tasks.question_answering(options), [Question(question, context)]))

    @checks_names
    def fill(self, text: str, *, top_k: int = 5, targets: Sequence[str] | None = None) -> list[list[Filling]]:
        """What may stand at each mask of a text, the best first. UnsupportedError without such a head."""
        return next(self.run(self._tasks.fill_mask(top_k, targets), [text]))

    @checks_names
    def relevance(self, query: str, documents: Sequence[str]) -> list[float]:
        """How well each document answers a query. A model with a head for one label reads both together; any
        other compares their vectors (from -1 to 1), with its prompts for queries and documents, if it has some."""
        if self._tasks.has("classes"):
            return list(self.run(self._tasks.ranking(), [(query, document) for document in documents]))
        one, others = (prompt_among(self.prompts, names) for names in (QUERY, DOCUMENT))
        row = self.embed([query], normalize=True, prompt=one)[0]
        return cosines(row, self.embed(documents, normalize=True, prompt=others))

    def run(self, task: EncoderTask[Given, Result], given: Iterable[Given]) -> Iterator[Result]:
        """The results of one of `tasks` for each thing of any iterable, in its order; they are read as results are
        asked for, 256 ahead. A result is the same to the bit whatever is run beside it. Errors: those of the task."""
        _ = self.backend
        return self._runner.run(task, given)

    async def run_async(
        self, task: EncoderTask[Given, Result], given: Sequence[Given], *, place: str | None = None
    ) -> tuple[list[Result], int]:
        """`run` in an event loop: all results, and the tokens of all that was read. place: what is given is called so
        where a text is too long, which is a ParameterError then; None: it is cut, as by `run`."""
        _ = self.backend
        return await self._runner.run_async(task, given, place)

    @checks_names
    def embed(
        self,
        texts: Sequence[Text],
        *,
        pooling: str | None = None,
        normalize: bool | None = None,
        prompt: str | None = None,
        dimensions: int | None = None,
    ) -> NDArray[np.float32]:
        """Vectors [n, width] of texts, or of pairs of texts that are read together, in their order.

        pooling: mean, cls (the first row) or last; normalize: whether each vector has length 1; prompt: the name of one
        of the checkpoint's prompts, which goes before each text, "" for none. None takes what the checkpoint says, and
        the mean, as it is, of one that says nothing. dimensions: so many of the first numbers are kept, and a vector
        that has length 1 has it still; only a model that was trained so (Matryoshka) bears it. A text that is longer
        than `context` is cut, and a note says so. A vector is the same to the bit whatever the texts beside it.
        Errors: ParameterError.
        """
        options = self._options(pooling, normalize, prompt, dimensions)
        given = _listed(texts)
        rows = np.empty((len(given), self._width), dtype=np.float32)
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
        dimensions: int | None = None,
    ) -> NDArray[np.float32]:
        """`embed` in an event loop, which goes on meanwhile. Cancelling drops what has not run yet."""
        import asyncio

        options = self._options(pooling, normalize, prompt, dimensions)
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
        dimensions: int | None = None,
    ) -> Iterator[NDArray[np.float32]]:
        """A vector [width] for each text of any iterable, which is read as vectors are asked for, 256 texts ahead.

        Parameters as of `embed`.
        """
        options = self._options(pooling, normalize, prompt, dimensions)
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

    def _options(
        self, pooling: str | None, normalize: bool | None, prompt: str | None, dimensions: int | None
    ) -> EmbedOptions:
        if prompt is not None and not isinstance(prompt, str):
            raise ParameterError("prompt", prompt, "must be the name of a prompt, or None")
        return EmbedOptions(
            pooling=None if pooling is None else cast("Pooling", choice("pooling", pooling, POOLINGS)),
            normalize=None if normalize is None else flag("normalize", normalize),
            prompt=prompt,
            dimensions=None if dimensions is None else whole_number("dimensions", dimensions, 1, self._width),
        )

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


def _result(future: Future[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Waits for it; who is interrupted does not want it any more."""
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def _listed(texts: object) -> list[Any]:
    if isinstance(texts, str):
        raise ParameterError("texts", texts, "is one text; give a list with it")
    if isinstance(texts, Iterator):
        raise ParameterError("texts", texts, "is an iterator; embed_iter takes those")
    if isinstance(texts, bytes) or not isinstance(texts, Iterable):
        raise ParameterError("texts", texts, "must be a list of texts")
    return list(texts)
