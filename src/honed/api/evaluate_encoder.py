"""`honed.evaluate_encoder`: two encoders and a text to a certificate of how close their vectors are.

Nothing is kept: measuring takes seconds. Not here: models that generate (`evaluate.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from honed.api.evaluate import CERTIFICATE, MOST, REFERENCE_DTYPE, Progress, instruction_set
from honed.api.load import check_model, load_encoder
from honed.api.subject import Opened, open_model, open_reference, refuse_quantized
from honed.backends.options import RunKeywords, RunOptions
from honed.checkpoints.huggingface.sentence_files import Pooling, read_sentence_settings
from honed.errors import ParameterError, UnsupportedError
from honed.evaluate.bootstrap import Resampling
from honed.evaluate.certificate import Settings
from honed.evaluate.encoder_certificate import EncoderCertificate, certify_encoder
from honed.evaluate.store import check_writable, write_json
from honed.evaluate.vectors import compare_vectors
from honed.evaluate.windows import cut_windows
from honed.models.base import EncoderModel
from honed.models.programs import HIDDEN
from honed.models.recorded import encoding
from honed.models.registry import read_encoder
from honed.parameters import flag, function, location, takes, whole_number
from honed.plan.build import plan_graph
from honed.tasks.embeddings import Embedder, EmbedOptions
from honed.text.corpora import Corpus, python_topics, read_text
from honed.text.encoder_input import EncoderInput
from honed.version import __version__

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TEXTS = 128
TEXT_TOKENS = 64
"""Of a text with those around it, as many sentences and search results have."""
_STEP = 32
"""Texts between two calls of `progress`."""


@takes(RunKeywords)
def evaluate_encoder(
    candidate: str | Path,
    reference: str | Path | None = None,
    options: RunOptions | None = None,
    *,
    text: str | Path | None = None,
    windows: int | None = None,
    window_tokens: int | None = None,
    seed: int = 0,
    record: bool = False,
    progress: Progress | None = None,
    **given: Unpack[RunKeywords],
) -> EncoderCertificate:
    """How close the vectors of an encoder are to those of a reference that runs in float32.

    candidate, reference: names as of `honed.load`; reference None: what an artifact was made from, for any other model
    its own weights. text: a UTF-8 file; None takes the reference topics of the running CPython. windows: texts that are
    cut out of it, spread evenly; None for 128, or as many as there are. window_tokens: of each, without those that the
    tokenizer puts around; None for as many as make 64 with them, or what the encoder takes. Rows are pooled as the
    candidate says. seed, record, progress, and how the candidate is run: as of `honed.evaluate`.

    Errors: those of `honed.load`; ParameterError where the text is too short; UnsupportedError for models that
    generate, and where tokenizers or widths differ or the reference is quantized; ArtifactError where the recorded
    source has changed.
    """
    check_model("candidate", candidate, None)
    if reference is not None:
        check_model("reference", reference, None)
    windows = None if windows is None else whole_number("windows", windows, 2, MOST)
    window_tokens = None if window_tokens is None else whole_number("window_tokens", window_tokens, 1, MOST)
    run = RunOptions.of(options, given)
    seed, record = whole_number("seed", seed, 0, 2**64 - 1), flag("record", record)
    function("progress", progress)
    corpus = python_topics() if text is None else read_text(location("text", text))
    ours = open_model(str(candidate), read_encoder)
    if record:
        check_writable(ours.checkpoint.path / CERTIFICATE)
    theirs = open_reference(ours, None if reference is None else str(reference), read_encoder)
    plan = plan_graph(encoding(theirs.model, HIDDEN), theirs.checkpoint, REFERENCE_DTYPE)
    refuse_quantized(theirs.name, plan.source.formats(REFERENCE_DTYPE).values())
    if ours.model.width != theirs.model.width:
        raise UnsupportedError(
            f"{ours.name} gives vectors of {ours.model.width} numbers and {theirs.name} of {theirs.model.width}; they "
            "cannot be compared"
        )
    texts = _texts(ours, theirs, corpus, windows, window_tokens)
    settings = Settings(
        text=corpus.name,
        text_sha256=corpus.sha256,
        windows=len(texts),
        window_tokens=len(texts[0]),
        resampling=Resampling(block_tokens=1, seed=seed),
        isa=instruction_set(run.isa),
        version=__version__,
    )
    report = progress or (lambda stage, done, total: None)
    exact = replace(run, dtype=REFERENCE_DTYPE)
    pooling = read_sentence_settings(ours.checkpoint).pooling or "mean"
    expected = _vectors(theirs.name, exact, texts, pooling, report)
    found = _vectors(ours.name, run, texts, pooling, report)
    scores = compare_vectors(expected, found)
    certificate = certify_encoder(ours.subject(run), theirs.subject(exact), scores, settings, pooling)
    if record:
        write_json(ours.checkpoint.path / CERTIFICATE, certificate.to_json())
    return certificate


def _texts(
    ours: Opened[EncoderModel], theirs: Opened[EncoderModel], corpus: Corpus, windows: int | None, tokens: int | None
) -> list[list[int]]:
    """Token ids, those around each text included."""
    tokenizer = ours.checkpoint.tokenizer()
    around = len(tokenizer.completed([]))
    ids = tokenizer.encode(corpus.text, add_special=False)
    if theirs is not ours and theirs.checkpoint.tokenizer().encode(corpus.text, add_special=False) != ids:
        raise UnsupportedError(
            f"the tokenizers of {ours.name} and {theirs.name} cut the text into different tokens; "
            "they can only be compared on the same ones"
        )
    context = min(ours.model.dimensions.context, theirs.model.dimensions.context)
    room = context - around
    if tokens is None:
        tokens = min(TEXT_TOKENS, context) - around
    if not 2 <= tokens <= room:
        raise ParameterError("window_tokens", tokens, f"must be from 2 to {room}, what the encoders take")
    count = max(2, min(TEXTS, (len(ids) - 1) // tokens)) if windows is None else windows
    cut = cut_windows(ids, window_tokens=tokens, windows=count)
    return [tokenizer.completed(window.inputs.tolist()) for window in cut]


def _vectors(
    name: str, run: RunOptions, texts: Sequence[Sequence[int]], pooling: Pooling, report: Progress
) -> NDArray[np.float32]:
    import numpy as np

    report(f"loading {name} ({run.dtype})", 0, len(texts))
    with load_encoder(name, run) as model:
        embedder = Embedder(model.backend, model.tokenizer, model.settings, name)
        parts = []
        for first in range(0, len(texts), _STEP):
            inputs = [EncoderInput.of_tokens(text) for text in texts[first : first + _STEP]]
            parts.append(embedder.vectors(inputs, EmbedOptions(pooling=pooling, normalize=False)))
            report(f"embedding with {name}", min(first + _STEP, len(texts)), len(texts))
        return np.concatenate(parts)
