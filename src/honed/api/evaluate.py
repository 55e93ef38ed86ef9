"""`honed.evaluate`: two names and a text to a certificate. How it is measured and kept is in `evaluate/`."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import honed
from honed.api.load import load
from honed.checkpoints.artifact.manifest import MANIFEST
from honed.checkpoints.base import Checkpoint
from honed.checkpoints.fingerprint import file_sha256, fingerprint
from honed.checkpoints.open import open_checkpoint
from honed.errors import ArtifactError, ParameterError, SourceError, UnsupportedError
from honed.evaluate.bootstrap import Resampling
from honed.evaluate.certificate import Certificate, Settings, Subject, certify
from honed.evaluate.compare import compare
from honed.evaluate.store import CertificateStore, key, write_json
from honed.evaluate.windows import WINDOW_TOKENS, Window, cut_windows
from honed.models.registry import read_model
from honed.plan.build import build_plan
from honed.plan.formats import DenseFormat
from honed.text.corpora import Corpus, python_topics, read_text

if TYPE_CHECKING:
    from honed.api.language_model import LanguageModel
    from honed.models.base import DecoderModel

Progress = Callable[[str, int, int], None]
"""Called with what is done now, and tokens done of tokens in all."""

REFERENCE_DTYPE: Literal["float32"] = "float32"


@dataclass(frozen=True)
class Evaluation:
    """A certificate, and whether it was measured before."""

    certificate: Certificate
    cached: bool


def evaluate(
    candidate: str | Path,
    reference: str | Path | None = None,
    *,
    text: str | Path | None = None,
    windows: int | None = None,
    window_tokens: int | None = None,
    dtype: str = "auto",
    kv: str = "auto",
    threads: int | None = None,
    isa: str | None = None,
    seed: int = 0,
    fresh: bool = False,
    record: bool = False,
    progress: Progress | None = None,
) -> Certificate:
    """The measured quality of a model against a reference that runs in float32.

    candidate, reference: names as of `honed.load`. reference None: what an artifact was made from, checked against
    the checksums that it recorded; for any other model its own weights. text: a UTF-8 file; None takes the reference
    topics of the running CPython. windows: None for eight, or as many as a shorter text has. window_tokens:
    predictions in each; None for 512, or the context where that is shorter. dtype: of the candidate's unquantized
    weights. kv: of its KV cache; the reference keeps float32. seed: of the bootstrap.
    fresh: measure even if the same question was answered before (certificates are
    kept in the user's cache under digests of everything they depend on). record: also write certificate.json into the
    candidate's directory.

    Errors: those of `honed.load`; ParameterError where the text is too short; UnsupportedError where tokenizers or
    vocabularies differ or the reference is quantized; ArtifactError where the recorded source has changed.
    """
    return evaluate_or_find(
        candidate,
        reference,
        text=text,
        windows=windows,
        window_tokens=window_tokens,
        dtype=dtype,
        kv=kv,
        threads=threads,
        isa=isa,
        seed=seed,
        fresh=fresh,
        record=record,
        progress=progress,
    ).certificate


def evaluate_or_find(
    candidate: str | Path,
    reference: str | Path | None = None,
    *,
    text: str | Path | None = None,
    windows: int | None = None,
    window_tokens: int | None = None,
    dtype: str = "auto",
    kv: str = "auto",
    threads: int | None = None,
    isa: str | None = None,
    seed: int = 0,
    fresh: bool = False,
    record: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """`evaluate`, and whether its answer was found in the cache."""
    corpus = python_topics() if text is None else read_text(Path(text))
    ours = _open(str(candidate))
    if record and not ours.checkpoint.path.is_dir():
        raise ParameterError("record", True, f"{ours.checkpoint.path} is a file; there is no directory to write to")
    theirs = _reference(ours, None if reference is None else str(reference))
    cut = _windows(ours, theirs, corpus, windows, window_tokens)
    settings = Settings(
        text=corpus.name,
        text_sha256=corpus.sha256,
        windows=len(cut),
        window_tokens=len(cut[0].inputs),
        resampling=Resampling.of_size(len(cut), len(cut[0].inputs), seed),
        isa=instruction_set(isa),
        version=honed.__version__,
    )
    subjects = (_subject(ours, dtype, kv), _subject(theirs, REFERENCE_DTYPE, REFERENCE_DTYPE))
    store = CertificateStore()
    name = _key(*subjects, settings)
    certificate = None if fresh else store.find(name)
    cached = certificate is not None
    if certificate is None:
        certificate = _measure(*subjects, cut, settings, threads=threads, isa=isa, progress=progress)
        store.keep(name, certificate)
    else:
        # The same files may have been asked for under other names.
        certificate = dataclasses.replace(certificate, candidate=subjects[0], reference=subjects[1], settings=settings)
    if record:
        write_json(ours.checkpoint.path / "certificate.json", certificate.to_json())
    return Evaluation(certificate, cached)


@dataclass(frozen=True)
class _Opened:
    name: str
    checkpoint: Checkpoint
    model: DecoderModel


def _open(name: str) -> _Opened:
    checkpoint = open_checkpoint(name)
    return _Opened(name, checkpoint, read_model(checkpoint.config, checkpoint.path))


def _reference(candidate: _Opened, name: str | None) -> _Opened:
    """Opens the reference, and makes sure that it can run in float32."""
    reference = _recorded_source(candidate) if name is None else _open(name)
    formats = build_plan(reference.model, reference.checkpoint, REFERENCE_DTYPE).source.formats(REFERENCE_DTYPE)
    if not all(isinstance(form, DenseFormat) for form in formats.values()):
        raise UnsupportedError(
            f"the reference {reference.name} is quantized and cannot run in float32; "
            "pass the model that it was made from as the reference"
        )
    return reference


def _recorded_source(candidate: _Opened) -> _Opened:
    manifest = getattr(candidate.checkpoint, "manifest", None)
    if manifest is None:
        return candidate
    name = manifest["source"]["name"]
    try:
        source = _open(name)
    except SourceError as error:
        raise SourceError(f"the source of {candidate.name} cannot be found, so pass a reference: {error}") from error
    recorded = manifest["source"]["files"]
    for path in source.checkpoint.files:
        if path.name in recorded and file_sha256(path) != recorded[path.name]["sha256"]:
            raise ArtifactError(
                f"{path}: has changed since {candidate.name} was made from it ({MANIFEST} has another SHA-256); "
                "make the artifact again, or pass a reference"
            )
    return source


def _windows(
    ours: _Opened, theirs: _Opened, corpus: Corpus, windows: int | None, window_tokens: int | None
) -> list[Window]:
    context = min(ours.model.dimensions.context, theirs.model.dimensions.context)
    if window_tokens is None:
        window_tokens = min(WINDOW_TOKENS, context)
    elif window_tokens > context:
        raise ParameterError("window_tokens", window_tokens, f"must be at most {context}, the context of the models")
    vocabularies = (ours.model.dimensions.vocabulary, theirs.model.dimensions.vocabulary)
    if vocabularies[0] != vocabularies[1]:
        raise UnsupportedError(
            f"{ours.name} predicts {vocabularies[0]} tokens and {theirs.name} {vocabularies[1]}; "
            "they can only be compared over one vocabulary"
        )
    ids, begin = _tokens(ours.checkpoint, corpus)
    if theirs is not ours and _tokens(theirs.checkpoint, corpus) != (ids, begin):
        raise UnsupportedError(
            f"the tokenizers of {ours.name} and {theirs.name} cut the text into different tokens; "
            "they can only be compared token by token"
        )
    return cut_windows(ids, window_tokens=window_tokens, windows=windows, begin_token=begin)


def _tokens(checkpoint: Checkpoint, corpus: Corpus) -> tuple[list[int], int | None]:
    """Ids of the text, and the begin token if windows start with one."""
    tokenizer = checkpoint.tokenizer()
    begin = tokenizer.begin_token if tokenizer.adds_begin_token else None
    return tokenizer.encode(corpus.text, add_special=False), begin


def instruction_set(asked: str | None) -> str:
    """The instruction set that the engine will use."""
    from honed.native import extension

    return asked or os.environ.get("HONED_ISA") or extension.isas()[0]


def _subject(opened: _Opened, dtype: str, kv: str) -> Subject:
    return Subject(opened.name, dtype, kv, fingerprint(opened.checkpoint.path, opened.checkpoint.files))


def _key(candidate: Subject, reference: Subject, settings: Settings) -> str:
    from honed.native import extension

    return key(
        {
            "candidate": [candidate.fingerprint, candidate.dtype, candidate.kv],
            "reference": [reference.fingerprint, reference.dtype, reference.kv],
            "settings": {**dataclasses.asdict(settings), "text": None},
            # A rebuilt engine of the same version may compute differently.
            "extension": file_sha256(Path(str(extension.__file__))),
        }
    )


def _measure(
    candidate: Subject,
    reference: Subject,
    windows: list[Window],
    settings: Settings,
    *,
    threads: int | None,
    isa: str | None,
    progress: Progress | None,
) -> Certificate:
    report = progress or (lambda stage, done, total: None)
    total = settings.windows * settings.window_tokens

    def loaded(subject: Subject) -> LanguageModel:
        report(f"loading {subject.name} ({subject.dtype})", 0, total)
        return load(
            subject.name,
            dtype=subject.dtype,
            kv=subject.kv,
            threads=threads,
            isa=isa,
            context=settings.window_tokens,
        )

    with loaded(reference) as source, loaded(candidate) as model:
        scores = compare(
            model.backend, source.backend, windows, progress=lambda done, of: report("comparing", done, of)
        )
    report("resampling", total, total)
    return certify(candidate, reference, scores, settings)
