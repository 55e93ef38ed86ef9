"""A gpt-oss as it circulates, its experts in MXFP4: read and run as transformers reads and runs it, and compressed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

import honed
from honed.backends.interpreter import InterpreterBackend, InterpreterConfig
from honed.backends.native import NativeBackend
from honed.backends.native_config import NativeConfig
from honed.checkpoints.base import Checkpoint
from honed.checkpoints.open import open_checkpoint
from honed.encodings.mxfp4 import SCHEME, Mxfp4
from honed.errors import FormatError, UnsupportedError
from honed.models.registry import read_model
from honed.native import extension
from honed.notes import HonedWarning
from honed.plan.build import build_plan
from honed.plan.lowered import MatrixWeight
from honed.plan.lowered_ops import ExpertMatmulOp, GatedOp
from packed_gpt_oss import TOKENS, expected, packed, packed_tensors
from tiny_models import whole


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(str(packed(tmp_path_factory.mktemp("packed"))))


def test_experts_lie_in_the_file_and_are_those_of_transformers(checkpoint: Checkpoint) -> None:
    stacked = packed_tensors()["model.layers.1.mlp.experts.gate_up_proj_blocks"]
    scales = packed_tensors()["model.layers.1.mlp.experts.gate_up_proj_scales"]
    values = convert_moe_packed_tensors(stacked, scales).float().transpose(1, 2).numpy()
    for first, part in enumerate(("gate", "up")):
        weight = checkpoint.weight(f"model.layers.1.mlp.experts.3.{part}_proj.weight")
        assert isinstance(weight, Mxfp4)
        assert not weight.blocks.flags.owndata
        np.testing.assert_array_equal(weight.decode(), values[3, first::2])
    assert "quantization_config" not in checkpoint.config
    assert set(checkpoint.names) == set(read_model(checkpoint.config).weights())


def test_decoded_it_gives_what_transformers_gives(checkpoint: Checkpoint) -> None:
    logits = NativeBackend.load(checkpoint, NativeConfig(kv_tokens=128, dtype="float32", kv_dtype="float32")).forward(
        whole(TOKENS)
    )
    spread = float(expected().max() - expected().min())
    assert float(np.abs(logits - expected()).max()) < 1e-4 * spread


def test_as_it_is_it_runs_on_the_codebook_and_equals_the_interpreter(checkpoint: Checkpoint) -> None:
    plan = build_plan(read_model(checkpoint.config), checkpoint, "auto").plan
    experts = [op for op in plan.ops if isinstance(op, ExpertMatmulOp)]
    assert [op.epilogue for op in experts] == ["gated_clamped_silu", "store"] * 3
    assert all(op.biases is not None and op.activation_group == 32 for op in experts)
    assert not any(isinstance(op, GatedOp) for op in plan.ops)
    for number in (number for op in experts for number in op.matrices):
        matrix = plan.weights[number]
        assert isinstance(matrix, MatrixWeight)
        assert matrix.format == SCHEME
    logits = InterpreterBackend.load(checkpoint, InterpreterConfig(kv_tokens=128)).forward(whole(TOKENS))
    for isa in extension.isas():
        backend = NativeBackend.load(checkpoint, NativeConfig(kv_tokens=128, threads=2, isa=isa))
        np.testing.assert_array_equal(backend.forward(whole(TOKENS)), logits, err_msg=isa)
    # int8 activations are all that is lost
    assert np.corrcoef(logits.ravel(), expected().ravel())[0, 1] > 0.999


def test_other_recipes_take_it(checkpoint: Checkpoint, tmp_path: Path) -> None:
    words = Tokenizer(WordLevel({f"w{number}": number for number in range(97)}, unk_token="w0"))
    words.pre_tokenizer = WhitespaceSplit()
    words.save(str(checkpoint.path / "tokenizer.json"))
    with pytest.warns(HonedWarning, match="weights of experts saw fewer than 64 tokens"):
        honed.compress(checkpoint.path, "int8", out=tmp_path / "out")
    artifact = open_checkpoint(str(tmp_path / "out"))
    for part in ("gate", "down"):
        name = f"model.layers.0.mlp.experts.2.{part}_proj.weight"
        source, made = checkpoint.weight(name).decode(), artifact.weight(name)
        assert made.kind == "int8"
        assert np.abs(made.decode() - source).max() <= np.abs(source).max() / 120
    with honed.load(tmp_path / "out") as model, honed.load(checkpoint.path) as full:
        tokens = [int(token) for token in TOKENS[:9]]
        found, before = (each.generate(tokens, max_tokens=4, temperature=0).tokens for each in (model, full))
    assert len(found) == len(before)


def test_tensors_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    name = "model.layers.0.mlp.experts.down_proj"
    blocks = packed_tensors()[f"{name}_blocks"]
    with pytest.raises(FormatError, match=r"down_proj_blocks: has shape .* must be that and 16 bytes a block"):
        open_checkpoint(str(packed(tmp_path / "shape", **{f"{name}_blocks": blocks[:, :, :, :8].contiguous()})))
    with pytest.raises(FormatError, match=r"down_proj_scales: has type F32, and MXFP4 is U8"):
        scales = packed_tensors()[f"{name}_scales"].float()
        open_checkpoint(str(packed(tmp_path / "type", **{f"{name}_scales": scales})))
    with pytest.raises(FormatError, match=r"down_proj: has shape .* describes"):
        changed = {f"{name}{end}": packed_tensors()[f"{name}{end}"][:4].contiguous() for end in ("_blocks", "_scales")}
        open_checkpoint(str(packed(tmp_path / "count", **changed)))


def test_a_scale_beyond_the_kernels_is_named_and_runs_decoded(tmp_path: Path) -> None:
    name = "model.layers.0.mlp.experts.down_proj_scales"
    scales = packed_tensors()[name].clone()
    scales[1, 5, 0] = 90
    checkpoint = open_checkpoint(str(packed(tmp_path / "small", **{name: scales})))
    with pytest.raises(UnsupportedError, match=r"experts.1.down_proj.weight: cannot be run: row 5: block 0 of MXFP4"):
        NativeBackend.load(checkpoint, NativeConfig(kv_tokens=128, keep_packed=False))
    NativeBackend.load(checkpoint, NativeConfig(kv_tokens=128, dtype="bfloat16", keep_packed=False)).forward(
        whole(TOKENS)
    )
