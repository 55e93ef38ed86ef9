"""An encoder and a labelled file, made ready to be trained: its head, its examples, and the score that decides.

What is computed once is so by the engine and not by torch: the rows below a head that is trained alone, and the logits
of a teacher. Not here: files (`labelled.py`), tokens and scores (`train_inputs.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from honed.api import train_inputs as inputs
from honed.api.labelled import read_tagged, read_texts
from honed.api.train_options import TrainOptions, TrainTask
from honed.backends.encoder import EncoderBackend, Output, TextBatch
from honed.backends.open import open_encoder
from honed.backends.options import RunOptions
from honed.checkpoints.base import Checkpoint
from honed.checkpoints.finite_weights import check_finite
from honed.checkpoints.huggingface.labels import Labels, read_labels
from honed.checkpoints.open import open_checkpoint
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.errors import ParameterError, UnsupportedError
from honed.models.base import Config, Model
from honed.models.encoder_heads import HeadKind, class_with_head, head_kind
from honed.models.encoder_layers import POOLER_FIELD
from honed.models.factored import factors_of
from honed.models.registry import family_of, is_encoder, read_any
from honed.notes import note
from honed.tasks.embeddings import steps
from honed.text.encoder_input import EncoderInput, EncoderTexts

if TYPE_CHECKING:
    from honed.compress.training.examples import Example
    from honed.compress.training.fit import Fitted
    from honed.compress.training.fitting import Score
    from honed.compress.training.loop import Moment
    from honed.compress.training.settings import FittingSettings

Rows = NDArray[np.float32]
Told = Callable[["Moment"], None]
LONGEST = 512
"""Tokens of a text, where neither model nor caller says less."""
_SPREAD = 0.02
"""Of the weights of a head that is made, where the config does not say."""
_TASKS: Mapping[TrainTask, HeadKind] = {"text-classification": "classes", "token-classification": "tags"}


@dataclass(frozen=True)
class Prepared:
    """Everything that is known before the training. config: of what is written. fit: runs it, with the folder that it
    is kept in and how many threads."""

    config: Config
    labels: tuple[str, ...]
    examples: int
    held_out: int
    fit: Callable[[FittingSettings, Path, int, Told | None], Fitted]


@dataclass(frozen=True)
class Started:
    """A model with the weights that it starts with."""

    model: Model
    weights: Mapping[str, Encoded]


@dataclass(frozen=True)
class _Data:
    """A labelled file and one to judge by, as the model reads them. several: a text may have any number of labels."""

    names: inputs.Names
    several: bool
    examples: list[Example]
    held_out: list[Example]
    score: Score


def prepare_labelled(
    checkpoint: Checkpoint,
    task: TrainTask,
    files: tuple[Path, Path],
    options: TrainOptions,
    *,
    teacher: str | Path | None,
    threads: int,
) -> Prepared:
    """files: to learn, and to judge by. Errors: those of `honed.train`."""
    from honed.compress.training.fit import fit
    from honed.compress.training.fitting import Task

    if not is_encoder(checkpoint.config):
        kind_there = checkpoint.config.get("model_type")
        raise UnsupportedError(f"{checkpoint.path}: model_type {kind_there} generates text; {task} takes an encoder")
    kind, before = _TASKS[task], read_labels(checkpoint)
    known = before if before is not None and before.kind == kind else None
    context = read_any(checkpoint.config, checkpoint.path).dimensions.context
    limit = min(context, options.max_tokens or LONGEST)
    texts = EncoderTexts(checkpoint.tokenizer(), limit)
    data = (_of_texts if kind == "classes" else _of_words)(texts, files, options, known)
    if len(data.names.names) < 2:
        raise ParameterError("data", str(files[0]), f"has one label alone, {data.names.names[0]!r}; two are the least")
    config = config_with_labels(checkpoint.config, kind, data.names.names, several=data.several)
    model = read_any(config, checkpoint.path)
    source = Started(model, _weights(checkpoint, config, known, data.names, options.seed))
    examples, held_out = data.examples, data.held_out
    if teacher is not None:
        backend, output = _teacher(teacher, kind, data, threads)
        logits = engine_rows(backend, output, examples)
        examples = [inputs.with_aims(one, own) for one, own in zip(examples, logits, strict=True)]
    if options.method == "head":
        backend = open_encoder(checkpoint, RunOptions(dtype="float32", threads=threads))
        entry = _entry(model)
        examples, held_out = (
            [inputs.with_rows(one, own) for one, own in zip(made, engine_rows(backend, entry, made), strict=True)]
            for made in (examples, held_out)
        )
    asked = Task("several" if data.several else "one", examples, held_out, data.score)

    def run(settings: FittingSettings, folder: Path, count: int, told: Told | None) -> Fitted:
        return fit(source, asked, settings, folder=folder, threads=count, told=told)

    return Prepared(config, data.names.names, len(examples), len(held_out), run)


def _of_texts(texts: EncoderTexts, files: tuple[Path, Path], options: TrainOptions, known: Labels | None) -> _Data:
    rows, apart = (read_texts(path, text=options.text, label=options.label, second=options.pair) for path in files)
    several = rows[0].several
    if apart[0].several != several:
        raise ParameterError("validation", str(files[1]), "must have labels of the same form as the data")
    same = known is not None and (known.problem == "multi_label_classification") == several
    there = (label for row in rows for label in row.labels)
    names = inputs.choose_names(there, known.names if known is not None and same else None, options.label_names)
    given, given_apart = inputs.text_inputs(texts, rows), inputs.text_inputs(texts, apart)
    _tell_of_cuts([*given, *given_apart])
    held_out = inputs.class_examples(given_apart, apart, names, files[1].name)

    def score(logits: Sequence[Rows]) -> Mapping[str, float]:
        if several:
            return inputs.several_scores([np.asarray(one.targets, np.float32) for one in held_out], logits)
        return inputs.class_scores([int(one.targets[0]) for one in held_out], len(names.names), logits)

    return _Data(names, several, inputs.class_examples(given, rows, names, files[0].name), held_out, score)


def _of_words(texts: EncoderTexts, files: tuple[Path, Path], options: TrainOptions, known: Labels | None) -> _Data:
    rows, apart = (read_tagged(path, words=options.text, tags=options.label) for path in files)
    there = (tag for row in rows for tag in row.tags)
    names = inputs.choose_names(there, None if known is None else known.names, options.label_names)
    given, given_apart = inputs.sentences(texts, rows), inputs.sentences(texts, apart)
    _tell_of_cuts([one.given for one in (*given, *given_apart)])
    held_out = inputs.tag_examples(given_apart, apart, names, files[1].name)

    def score(logits: Sequence[Rows]) -> Mapping[str, float]:
        return inputs.tag_scores(given_apart, apart, names, logits)

    return _Data(names, False, inputs.tag_examples(given, rows, names, files[0].name), held_out, score)


def config_with_labels(config: Config, kind: HeadKind, names: Sequence[str], *, several: bool) -> dict[str, Any]:
    """The config of an encoder with a head for these labels."""
    kept = {name: value for name, value in config.items() if name not in ("num_labels", "problem_type")}
    problem = "multi_label_classification" if several else "single_label_classification"
    return {
        **kept,
        "architectures": [class_with_head(family_of(config).class_name, kind)],
        "id2label": {str(number): name for number, name in enumerate(names)},
        "label2id": {name: number for number, name in enumerate(names)},
        **({"problem_type": problem} if kind == "classes" else {}),
        POOLER_FIELD: False,  # but where the head stands on it
    }


def _weights(
    checkpoint: Checkpoint, config: Config, known: Labels | None, names: inputs.Names, seed: int
) -> Mapping[str, Encoded]:
    """Those of the checkpoint, and a head that is made where it has none for these labels. Errors: `check_weights`."""
    model, kind = read_any(config, checkpoint.path), head_kind(config)
    assert kind is not None
    last = family_of(config).heads[kind]
    same = known is not None and known.names == names.names
    there, spread = set(checkpoint.names), config.get("initializer_range")
    width = float(spread) if isinstance(spread, int | float) and 0 < spread < 1 else _SPREAD
    found: dict[str, Encoded] = {}
    for name, weight in model.weights().items():
        stored = checkpoint.weight(name) if name in there and (same or name.rpartition(".")[0] != last) else None
        if stored is None or stored.shape != weight.shape:
            stored = Dense(_made(name, weight.shape, width, seed), "float32")
        found[name] = stored
    check_weights(checkpoint, model, found)
    return found


def check_weights(checkpoint: Checkpoint, model: Model, weights: Mapping[str, Encoded]) -> None:
    """UnsupportedError for an artifact with rounded weights, parts of which fit each other as they are rounded, and for
    layers that are products of two. Other rounded weights are trained as what they decode to, and a note says so.
    FormatError for one that is not finite."""
    if factors_of(model):
        raise UnsupportedError(f"{checkpoint.path}: has layers that are products of two, and those are not trained")
    rounded = 0
    for name, weight in weights.items():
        if weight.kind != "dense":
            if checkpoint.kind == "artifact":
                raise UnsupportedError(
                    f"{checkpoint.path}: {name} is {weight.kind}, and rounded weights of an artifact are not trained; "
                    "take the model that it was made from"
                )
            rounded += 1
        check_finite(checkpoint.path, name, weight)
    if rounded:
        note(f"{checkpoint.path}: {rounded} weights are rounded there; they are trained as the float32 they decode to")


def _made(name: str, shape: tuple[int, ...], spread: float, seed: int) -> Rows:
    """Weights of a head that there is none of: small and random, biases 0, norms 1."""
    if len(shape) == 1:
        return np.full(shape, 1.0 if name.endswith("weight") else 0.0, np.float32)
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")
    return (np.random.default_rng([seed, key]).standard_normal(shape) * spread).astype(np.float32)


def _entry(model: Model) -> Output:
    """What the encoder gives that the head is made of."""
    from honed.compress.training.encoder_runner import pooling_of

    return pooling_of(model) or "hidden"


def _teacher(name: str | Path, kind: HeadKind, data: _Data, threads: int) -> tuple[EncoderBackend, Output]:
    checkpoint = open_checkpoint(str(name))
    labels, wanted = read_labels(checkpoint), data.names.names
    if labels is None or labels.kind != kind or labels.names != wanted:
        given = "has no head" if labels is None else f"gives {labels.kind} {', '.join(labels.names[:8])}"
        raise ParameterError("teacher", str(name), f"must give {kind} {', '.join(wanted[:8])}, and {given}")
    if kind == "classes" and (labels.problem == "multi_label_classification") != data.several:
        raise ParameterError("teacher", str(name), f"was trained for {labels.problem}, and the data is not")
    return open_encoder(checkpoint, RunOptions(threads=threads)), "classes" if kind == "classes" else "tags"


def engine_rows(backend: EncoderBackend, output: Output, examples: Sequence[Example]) -> list[Rows]:
    """What the engine gives for each example: rows of all of its tokens, or one."""
    found: list[Rows] = [np.zeros((0, 0), np.float32)] * len(examples)
    for chosen in steps([len(one) for one in examples], backend.step_tokens):
        batch = TextBatch(
            np.concatenate([examples[number].tokens for number in chosen]),
            np.concatenate([examples[number].types for number in chosen]),
            np.array([len(examples[number]) for number in chosen], np.int32),
        )
        rows = backend.encode(batch, output)
        ends = np.cumsum(batch.lengths if output in ("hidden", "tags") else np.ones_like(batch.lengths))
        for number, own in zip(chosen, np.split(rows, ends[:-1]), strict=True):
            found[number] = own
    return found


def _tell_of_cuts(given: Sequence[EncoderInput]) -> None:
    cut = [len(one.tokens) for one in given if one.dropped]
    if cut:
        note(f"{len(cut)} of {len(given)} texts are longer than {max(cut)} tokens and are cut there")
