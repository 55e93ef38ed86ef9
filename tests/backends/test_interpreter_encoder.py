"""The interpreter's encoder against the torch reference, and a ragged batch against its texts alone."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from encoder_reference import batch_of
from honed.backends.encoder import Output
from honed.backends.interpreter_encoder import InterpreterEncoder
from honed.checkpoints.open import open_checkpoint
from honed.encodings.int8_encoder import encode_int8
from honed.models.recorded import encoding
from honed.models.registry import read_encoder
from honed.notes import HonedWarning
from honed.ops.reference import GrowingStore, Rows, Step, run
from honed.plan import lowered as low
from honed.plan import lowered_ops
from tiny_encoder import HIDDEN, RandomWeights, TinyEncoder, texts
from tiny_encoders import FAMILIES, golden_encoder

LENGTHS = (5, 1, 17, 9)
OUTPUTS: tuple[Output, ...] = ("hidden", "mean", "first", "last", "pooler")
MODEL = TinyEncoder()
WEIGHTS = RandomWeights(MODEL)


def reference(output: Output) -> NDArray[np.float32]:
    batch = texts(*LENGTHS)
    weights = {name: torch.from_numpy(weight.decode()) for name, weight in WEIGHTS.weights.items()}
    inputs = {"tokens": batch.tokens, "token_types": batch.types}
    ids = {name: torch.from_numpy(values).long() for name, values in inputs.items()}
    step = Step(weights, Rows.whole(ids, LENGTHS), GrowingStore())
    found: NDArray[np.float32] = run(encoding(MODEL, output), step)[output].numpy()
    return found


@pytest.mark.parametrize("output", OUTPUTS)
def test_every_output_equals_the_reference(output: Output) -> None:
    found = InterpreterEncoder(MODEL, WEIGHTS).encode(texts(*LENGTHS), output)
    expected = reference(output)
    assert found.shape == ((sum(LENGTHS) if output == "hidden" else len(LENGTHS)), HIDDEN)
    assert np.abs(found - expected).max() < 1e-4 * (expected.max() - expected.min())


@pytest.mark.parametrize("output", ["hidden", "mean"])
def test_a_text_has_the_same_rows_to_the_bit_alone(output: Output) -> None:
    backend = InterpreterEncoder(MODEL, WEIGHTS)
    alone = [backend.encode(texts(length), output) for length in LENGTHS]
    np.testing.assert_array_equal(backend.encode(texts(*LENGTHS), output), np.concatenate(alone))


def test_without_fusions_not_a_bit_changes() -> None:
    plain, fused = InterpreterEncoder(MODEL, WEIGHTS, fusions=()), InterpreterEncoder(MODEL, WEIGHTS)
    assert len(plain.plan("pooler").ops) > len(fused.plan("pooler").ops)
    batch = texts(*LENGTHS)
    np.testing.assert_array_equal(plain.encode(batch, "pooler"), fused.encode(batch, "pooler"))


def test_a_plan_says_what_it_reads_and_gives() -> None:
    plan = InterpreterEncoder(MODEL, WEIGHTS).plan("pooler")
    assert plan.inputs == (low.PlanIds("tokens", 30), low.PlanIds("token_types", 2), low.PlanIds("positions", 24))
    assert [result.name for result in plan.outputs] == ["pooler"]
    assert plan.slots[plan.output("pooler")].rows == "sequences"
    assert plan.caches == ()
    embeds = [op for op in plan.ops if isinstance(op, lowered_ops.EmbedOp)]
    assert [(op.ids, op.first_row, op.epilogue) for op in embeds] == [(0, 0, "store"), (1, 0, "add"), (2, 2, "add")]
    assert [op.name for op in plan.ops[:6]] == ["embed", "embed", "embed", "layer_norm", "matmul", "rope_kv"]


def test_quantized_weights_give_nearly_the_same() -> None:
    quantized = RandomWeights(MODEL)
    for name, weight in WEIGHTS.weights.items():
        if len(weight.shape) == 2 and name not in ("tokens", "types", "positions"):
            quantized.weights[name] = encode_int8(weight, name=name)
    found = InterpreterEncoder(MODEL, quantized).encode(texts(*LENGTHS), "mean")
    expected = reference("mean")
    cosines = (found * expected).sum(-1) / np.linalg.norm(found, axis=-1) / np.linalg.norm(expected, axis=-1)
    assert cosines.min() > 0.99


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_equals_transformers(family: str) -> None:
    made = golden_encoder(family)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HonedWarning)  # heads that are not read
        checkpoint = open_checkpoint(str(made.directory))
    backend = InterpreterEncoder(read_encoder(checkpoint.config, checkpoint.path), checkpoint)
    assert made.agrees(backend.encode(batch_of(made), "hidden"))
