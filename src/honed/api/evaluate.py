"""`honed.evaluate`: two names and a text to a certificate. How it is measured and kept is in `evaluate/`."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack

from honed.api.load import check_model, load_language_model
from honed.api.subject import Opened, open_model, open_reference, refuse_quantized
from honed.backends.open import check_here
from honed.backends.options import RunKeywords, RunOptions
from honed.checkpoints.base import Checkpoint
from honed.checkpoints.content_hash import file_sha256
from honed.errors import ParameterError, UnsupportedError
from honed.evaluate.bootstrap import Resampling
from honed.evaluate.certificate import Certificate, Settings, Subject, certify
from honed.evaluate.compare import compare
from honed.evaluate.store import CertificateStore, check_writable, key, write_json
from honed.evaluate.windows import WINDOW_TOKENS, Window, cut_windows
from honed.models.registry import read_model
from honed.parameters import flag, function, location, takes, whole_number
from honed.plan.build import build_plan
from honed.text.corpora import Corpus, python_topics, read_text
from honed.version import __version__

if TYPE_CHECKING:
    from honed.api.language_model import LanguageModel
    from honed.models.base import DecoderModel

Progress = Callable[[str, int, int], None]
"""Called with what is done now, and tokens done of tokens in all."""

REFERENCE_DTYPE: Literal["float32"] = "float32"
CERTIFICATE = "certificate.json"
MOST = 1 << 24
"""Of windows and of their tokens: more than any text here has."""


@dataclass(frozen=True)
class Evaluation:
    """A certificate, and whether it was measured before."""

    certificate: Certificate
    cached: bool


class EvaluateKeywords(RunKeywords, total=False):
    """The keywords of `evaluate`."""

    text: str | Path | None
    windows: int | None
    window_tokens: int | None
    seed: int
    fresh: bool
    record: bool
    progress: Progress | None


@takes(RunKeywords)
def evaluate_or_find(
    candidate: str | Path,
    reference: str | Path | None = None,
    options: RunOptions | None = None,
    *,
    text: str | Path | None = None,
    windows: int | None = None,
    window_tokens: int | None = None,
    seed: int = 0,
    fresh: bool = False,
    record: bool = False,
    progress: Progress | None = None,
    **given: Unpack[RunKeywords],
) -> Evaluation:
    """`evaluate`, and whether its answer was found in the cache."""
    check_model("candidate", candidate, None)
    if reference is not None:
        check_model("reference", reference, None)
    windows = None if windows is None else whole_number("windows", windows, 1, MOST)
    window_tokens = None if window_tokens is None else whole_number("window_tokens", window_tokens, 2, MOST)
    run = _runnable(RunOptions.of(options, given))
    seed = whole_number("seed", seed, 0, 2**64 - 1)
    fresh, record = flag("fresh", fresh), flag("record", record)
    function("progress", progress)
    corpus = python_topics() if text is None else read_text(location("text", text))
    ours = open_model(str(candidate), read_model)
    if record and not ours.checkpoint.path.is_dir():
        raise ParameterError("record", True, f"{ours.checkpoint.path} is a file; there is no directory to write to")
    if record:
        check_writable(ours.checkpoint.path / CERTIFICATE)
    theirs = _reference(ours, None if reference is None else str(reference))
    cut = _windows(ours, theirs, corpus, windows, window_tokens)
    settings = Settings(
        text=corpus.name,
        text_sha256=corpus.sha256,
        windows=len(cut),
        window_tokens=len(cut[0].inputs),
        resampling=Resampling.of_size(len(cut), len(cut[0].inputs), seed),
        isa=instruction_set(run.isa),
        version=__version__,
    )
    runs = (run, replace(run, dtype=REFERENCE_DTYPE, kv=REFERENCE_DTYPE))
    subjects = (ours.subject(runs[0]), theirs.subject(runs[1]))
    store = CertificateStore()
    name = _key(*subjects, settings)
    certificate = None if fresh else store.find(name)
    cached = certificate is not None
    if certificate is None:
        certificate = _measure(subjects, runs, cut, settings, progress)
        store.keep(name, certificate)
    else:
        # The same files may have been asked for under other names.
        certificate = dataclasses.replace(certificate, candidate=subjects[0], reference=subjects[1], settings=settings)
    if record:
        write_json(ours.checkpoint.path / CERTIFICATE, certificate.to_json())
    return Evaluation(certificate, cached)


@takes(EvaluateKeywords)
def evaluate(
    candidate: str | Path,
    reference: str | Path | None = None,
    options: RunOptions | None = None,
    **given: Unpack[EvaluateKeywords],
) -> Certificate:
    """The measured quality of a model that generates against a reference that runs in float32; of encoders that is
    `honed.evaluate_encoder`.

    candidate, reference: names as of `honed.load`. reference None: what an artifact was made from, checked against
    the checksums that it recorded; for any other model its own weights. How the candidate is run may be said by
    keywords, or by a `honed.RunOptions` that holds them: dtype (of its unquantized weights), kv (of its KV cache; the
    reference keeps float32), threads and isa.

    text: a UTF-8 file; None takes the reference topics of the running CPython. windows: None for eight, or as many as a
    shorter text has. window_tokens: predictions in each; None for 512, or the context where that is shorter. seed: of
    the bootstrap. fresh: measure even if the same question was answered before (certificates are kept in the user's
    cache under digests of everything they depend on). record: also write certificate.json into the candidate's
    directory. progress: called with what is done now.

    Errors: those of `honed.load`; ParameterError where the text is too short; UnsupportedError where tokenizers or
    vocabularies differ or the reference is quantized; ArtifactError where the recorded source has changed.
    """
    return evaluate_or_find(candidate, reference, options, **given).certificate


def _runnable(run: RunOptions) -> RunOptions:
    """ParameterError for what `evaluate` settles itself, and for what this machine cannot do."""
    for name, why in (
        ("context", "is as long as a window; window_tokens says how long that is"),
        ("sequences", "is one for an evaluation; leave it out"),
        ("backend", "is native for an evaluation; leave it out"),
    ):
        if getattr(run, name) != getattr(RunOptions, name):
            raise ParameterError(name, getattr(run, name), why)
    check_here(run)
    return run


def _reference(candidate: Opened[DecoderModel], name: str | None) -> Opened[DecoderModel]:
    """Opens the reference, and makes sure that it can run in float32."""
    reference = open_reference(candidate, name, read_model)
    plan = build_plan(reference.model, reference.checkpoint, REFERENCE_DTYPE)
    refuse_quantized(reference.name, plan.source.formats(REFERENCE_DTYPE).values())
    return reference


def _windows(
    ours: Opened[DecoderModel],
    theirs: Opened[DecoderModel],
    corpus: Corpus,
    windows: int | None,
    window_tokens: int | None,
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
    subjects: tuple[Subject, Subject],
    runs: tuple[RunOptions, RunOptions],
    windows: list[Window],
    settings: Settings,
    progress: Progress | None,
) -> Certificate:
    """Of a candidate and its reference."""
    report = progress or (lambda stage, done, total: None)
    total = settings.windows * settings.window_tokens

    def loaded(subject: Subject, run: RunOptions) -> LanguageModel:
        report(f"loading {subject.name} ({subject.dtype})", 0, total)
        return load_language_model(subject.name, run, context=settings.window_tokens)

    with loaded(subjects[1], runs[1]) as source, loaded(subjects[0], runs[0]) as model:
        scores = compare(
            model.backend, source.backend, windows, progress=lambda done, of: report("comparing", done, of)
        )
    report("resampling", total, total)
    return certify(*subjects, scores, settings)
