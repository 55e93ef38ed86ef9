"""The native encoder against the interpreter, to the bit, for every family, encoding and output; and against itself."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

import honed
from encoder_reference import batch_of
from honed.backends import packed_cache
from honed.backends.encoder import Output, TextBatch
from honed.backends.interpreter_encoder import InterpreterEncoder
from honed.backends.native_config import NativeConfig
from honed.backends.native_encoder import NativeEncoder
from honed.backends.packing import Packer
from honed.checkpoints import file_state
from honed.checkpoints.base import Checkpoint
from honed.checkpoints.open import open_checkpoint
from honed.errors import ParameterError, UnsupportedError
from honed.models.recorded import main_graph
from honed.models.registry import read_encoder
from honed.native import extension
from honed.notes import HonedWarning
from honed.ops.record import Node, Recorder
from honed.ops.values import AttentionSpec, DistanceBias, Rotary, Weight
from honed.plan.lowered import PlanWeight
from tiny_encoder import HEAD_DIM, HEADS, RandomWeights, TinyEncoder, texts
from tiny_encoders import FAMILIES, HEADED, golden_encoder, with_tokenizer

OUTPUTS: tuple[Output, ...] = get_args(Output)
OF_HEADS: tuple[Output, ...] = ("classes", "tags", "vocabulary")
RECIPES = ("int8", "int4", "int4-zero-point", "nf4")


@contextmanager
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HonedWarning)  # heads that are not read
        yield


@cache
def opened(directory: Path) -> Checkpoint:
    with quiet():
        return open_checkpoint(str(directory))


def native(checkpoint: Checkpoint, config: NativeConfig | None = None) -> NativeEncoder:
    return NativeEncoder.load(checkpoint, config or NativeConfig(threads=2, keep_packed=False))


def interpreter(checkpoint: Checkpoint) -> InterpreterEncoder:
    return InterpreterEncoder(read_encoder(checkpoint.config, checkpoint.path), checkpoint)


def part(batch: TextBatch, index: int) -> TextBatch:
    """One of its texts."""
    end = int(batch.lengths[: index + 1].sum())
    rows = slice(end - int(batch.lengths[index]), end)
    return TextBatch(batch.tokens[rows], batch.types[rows], batch.lengths[index : index + 1])


@pytest.mark.parametrize("family", [*FAMILIES, *HEADED])
def test_every_family_equals_transformers_and_the_interpreter(family: str) -> None:
    made = golden_encoder(family)
    checkpoint = opened(made.directory)
    backend, expected = native(checkpoint), interpreter(checkpoint)
    batch = batch_of(made)
    there = main_graph(read_encoder(checkpoint.config, checkpoint.path)).outputs
    for output in [output for output in OUTPUTS if output in there]:
        np.testing.assert_array_equal(backend.encode(batch, output), expected.encode(batch, output), err_msg=output)
    assert made.agrees(backend.encode(batch, "hidden"))
    head = [output for output in OF_HEADS if output in there]
    assert bool(head) == (made.texts[0].logits is not None)
    assert all(made.head_agrees(backend.encode(batch, output)) for output in head)


@pytest.fixture(scope="module", params=RECIPES)
def artifact(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    honed.compress(with_tokenizer("minilm", folder / "source"), request.param, out=folder / "out")
    return folder / "out"


def test_every_encoding_equals_the_interpreter(artifact: Path) -> None:
    made, checkpoint = golden_encoder("minilm"), opened(artifact)
    expected = interpreter(checkpoint).encode(batch_of(made), "hidden")
    for isa in extension.isas():
        backend = native(checkpoint, NativeConfig(threads=1, isa=isa, keep_packed=False))
        np.testing.assert_array_equal(backend.encode(batch_of(made), "hidden"), expected, err_msg=isa)


class ScoredEncoder(TinyEncoder):
    """All that can be done to scores; without the norm over whole rows of q in the second layer."""

    def attention(self, ops: Recorder, x: Node, layer: int) -> Node:
        if layer == 0:
            return super().attention(ops, x, layer)
        q, k, v = (self.linear(ops, x, f"{layer}.{name}") for name in "qkv")
        q, k = (ops.rope(y, Rotary((1.0, 0.3)), HEAD_DIM) for y in (q, k))
        bias = DistanceBias(Weight(f"{layer}.distance", (HEADS * 7,)), reach=3)
        sinks = Weight(f"{layer}.sinks", (HEADS,))
        return ops.attention(q, k, v, AttentionSpec(HEAD_DIM, 0.4, 5, 4, soft_cap=2.0, sinks=sinks, bias=bias))


class Weights(RandomWeights):
    kind = "memory"
    path = Path("tiny")


@pytest.mark.parametrize("output", [output for output in OUTPUTS if output not in OF_HEADS])
def test_all_that_is_done_to_scores_equals_the_interpreter(output: Output) -> None:
    model, batch = ScoredEncoder(), texts(5, 1, 17, 24, 9)
    weights: Any = Weights(model)
    expected = InterpreterEncoder(model, weights).encode(batch, output)
    for isa in extension.isas():
        backend = NativeEncoder(model, weights, NativeConfig(threads=2, isa=isa, keep_packed=False))
        np.testing.assert_array_equal(backend.encode(batch, output), expected)


@pytest.mark.parametrize("family", ["minilm", "roberta", "distilbert"])
def test_a_text_has_the_same_rows_to_the_bit_alone(family: str) -> None:
    made = golden_encoder(family)
    backend = native(opened(made.directory))
    batch = batch_of(made)
    for output in ("hidden", "mean"):
        alone = [backend.encode(part(batch, index), output) for index in range(len(batch.lengths))]
        np.testing.assert_array_equal(backend.encode(batch, output), np.concatenate(alone))


@pytest.mark.parametrize(
    ("family", "output"),
    [("bert_classes", "classes"), ("modernbert_tags", "tags"), ("roberta_vocabulary", "vocabulary")],
)
def test_a_text_has_the_same_logits_to_the_bit_alone(family: str, output: Output) -> None:
    made = golden_encoder(family)
    backend = native(opened(made.directory))
    batch = batch_of(made)
    alone = [backend.encode(part(batch, index), output) for index in range(len(batch.lengths))]
    np.testing.assert_array_equal(backend.encode(batch, output), np.concatenate(alone))


def test_a_vocabulary_is_computed_for_the_rows_that_are_asked_for() -> None:
    made = golden_encoder("bert_vocabulary")
    backend, batch = native(opened(made.directory)), batch_of(made)
    rows = np.array([0, 9, 52], np.int32)
    some = replace(batch, selected=rows)
    found = backend.encode(some, "vocabulary")
    np.testing.assert_array_equal(found, backend.encode(batch, "vocabulary")[rows])
    np.testing.assert_array_equal(found, interpreter(opened(made.directory)).encode(some, "vocabulary"))


def test_threads_and_kept_weights_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_cache, "cache_directory", lambda: tmp_path)
    monkeypatch.setattr(file_state, "SETTLED_S", 0.0)  # files that have just been written are told from others
    made = golden_encoder("bert")
    expected = native(opened(made.directory)).encode(batch_of(made), "pooler")
    for threads in (1, 3, 3):  # the later ones find the weights that were kept
        backend = native(opened(made.directory), NativeConfig(threads=threads))
        assert backend.threads == threads
        np.testing.assert_array_equal(backend.encode(batch_of(made), "pooler"), expected)
    assert len(list((tmp_path / "packed").glob("*.packed"))) == 1  # without the pooler's, which few ask for


def test_outputs_share_their_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    packed: list[int] = []
    pack_all = Packer.pack_all

    def counted(self: Packer, specs: Sequence[PlanWeight], threads: int) -> list[extension.Weight]:
        packed.append(len(specs))
        return pack_all(self, specs, threads)

    monkeypatch.setattr(Packer, "pack_all", counted)
    made = golden_encoder("bert")
    backend = native(opened(made.directory))
    for output in ("mean", "first", "last", "hidden", "pooler"):
        backend.encode(batch_of(made), output)
    assert [count for count in packed if count] == [packed[0], 2]  # matrix and bias of the pooler


def test_what_it_says_of_itself(tmp_path: Path) -> None:
    made = golden_encoder("bert_without_pooler")
    backend = native(opened(made.directory), NativeConfig(threads=1, step_tokens=24, keep_packed=False))
    assert (backend.name, backend.width, backend.context, backend.types) == ("native", 48, 40, 2)
    assert backend.step_tokens == 40  # a text may be as long as the context
    assert backend.isa in extension.isas()
    with pytest.raises(ParameterError, match="tokens of the batch = 53: must be at most 40"):
        backend.encode(batch_of(made), "mean")
    with pytest.raises(UnsupportedError, match="the weights of this model have no pooler"):
        backend.encode(part(batch_of(made), 0), "pooler")


def test_a_profile_names_the_ops() -> None:
    made = golden_encoder("bert")
    names = {name for name, _ in native(opened(made.directory)).profile(batch_of(made), "mean")}
    assert {"embed", "layer_norm", "matmul", "attention", "pool"} <= {name.split()[0] for name in names}
