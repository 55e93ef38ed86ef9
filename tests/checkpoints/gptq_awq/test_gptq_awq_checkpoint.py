"""GPTQ and AWQ directories, their words packed here code by code after the layouts' definitions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

import honed
from divisible_models import save_llama
from honed.api.compress import compress
from honed.checkpoints.artifact.checkpoint import Artifact
from honed.checkpoints.gptq_awq.checkpoint import GptqAwqCheckpoint
from honed.checkpoints.huggingface.directory import Directory
from honed.checkpoints.open import open_checkpoint
from honed.encodings.dense import Dense
from honed.encodings.int4 import Int4
from honed.encodings.int8 import Int8
from honed.encodings.weight_only import WeightOnly
from honed.errors import FormatError, UnsupportedError

UP, DOWN = "model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.down_proj.weight"
AWQ_OUTPUTS = (0, 2, 4, 6, 1, 3, 5, 7)
Floats = NDArray[np.float32]


def words(codes: NDArray[np.int64], bits: int, axis: int, outputs: tuple[int, ...] | None = None) -> torch.Tensor:
    """Codes packed along an axis, one after the other from the low bits on, or by the output that each place has."""
    codes = np.moveaxis(codes, axis, 0)
    count = 32 // bits
    packed = np.zeros((len(codes) // count, codes.shape[1]), np.uint32)
    for word in range(len(packed)):
        for place in range(count):
            source = word * count + (place if outputs is None else outputs[place])
            packed[word] |= codes[source].astype(np.uint32) << np.uint32(place * bits)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(packed, 0, axis)).view(np.int32))


def save(
    directory: Path,
    quantization: dict[str, Any],
    *,
    bits: int = 4,
    group: int | None = 32,
    symmetric: bool = False,
    sorted_inputs: bool = False,
    shift: int = 1,
) -> dict[str, Floats]:
    """A compressed checkpoint; what every layer decodes to, by name."""
    save_llama(directory)
    state, rng = load_file(directory / "model.safetensors"), np.random.default_rng(0)
    decoded: dict[str, Floats] = {}
    for name in [name for name in state if "_proj.weight" in name]:
        rows, width = state.pop(name).shape
        groups = 1 if group is None else -(-width // group)
        codes = rng.integers(1, 1 << bits, (width, rows))
        middle = 1 << (bits - 1)
        zeros = np.full((groups, rows), middle) if symmetric else rng.integers(1, 1 << bits, (groups, rows))
        scales = rng.uniform(0.001, 0.01, (groups, rows)).astype(np.float16)
        group_of = np.arange(width) // (group or width)
        if sorted_inputs:
            group_of = rng.permutation(group_of)
        module = name.removesuffix("weight")
        decoded[name] = ((codes - zeros[group_of]).astype(np.float32) * scales[group_of].astype(np.float32)).T
        state[f"{module}scales"] = torch.from_numpy(scales)
        if quantization["quant_method"] == "awq":
            state[f"{module}qweight"] = words(codes, 4, 1, AWQ_OUTPUTS)
            state[f"{module}qzeros"] = words(zeros, 4, 1, AWQ_OUTPUTS)
        else:
            state[f"{module}qweight"] = words(codes, bits, 0)
            state[f"{module}qzeros"] = words(zeros - shift, bits, 1)
            state[f"{module}g_idx"] = torch.from_numpy(group_of.astype(np.int32))
    save_file(state, directory / "model.safetensors", {"format": "pt"})
    change_config(directory, {"bits": bits, "group_size": group or -1, **quantization})
    return decoded


def change_config(directory: Path, quantization: dict[str, Any]) -> None:
    config = json.loads((directory / "config.json").read_text())
    config["quantization_config"] = quantization
    (directory / "config.json").write_text(json.dumps(config))


GPTQ = {"quant_method": "gptq", "desc_act": False, "sym": True}
GPTQ_V2 = {**GPTQ, "checkpoint_format": "gptq_v2"}
AWQ = {"quant_method": "awq", "zero_point": True, "version": "gemm"}


@pytest.mark.parametrize(
    ("quantization", "how", "kept"),
    [
        (GPTQ, {}, Int4),
        (GPTQ, {"symmetric": True}, Int4),
        (GPTQ, {"group": 64}, Int4),
        (GPTQ_V2, {"shift": 0}, Int4),
        (GPTQ, {"sorted_inputs": True}, Dense),
        (GPTQ, {"bits": 8, "symmetric": True}, Int8),
        (GPTQ, {"bits": 8, "symmetric": True, "group": None}, Int8),
        (GPTQ, {"bits": 8}, Dense),
        (GPTQ, {"bits": 2}, Dense),
        (GPTQ, {"group": None, "sorted_inputs": True}, Int4 | Dense),
        (AWQ, {}, Int4),
        (AWQ, {"group": 64}, Int4),
    ],
)
def test_every_layer_has_the_values_that_its_words_stand_for(
    quantization: dict[str, Any], how: dict[str, Any], kept: Any, tmp_path: Path
) -> None:
    expected = save(tmp_path / "model", quantization, **how)
    checkpoint = open_checkpoint(str(tmp_path / "model"))
    assert isinstance(checkpoint, GptqAwqCheckpoint)
    for name, values in expected.items():
        weight = checkpoint.weight(name)
        np.testing.assert_array_equal(weight.decode(), values)
        np.testing.assert_array_equal(weight.decode(slice(3, 9)), values[3:9])
        # One scale for all inputs is a group where there are as many of them.
        stored = weight.stored if isinstance(weight, WeightOnly) else weight
        assert isinstance(stored, kept)
    assert "quantization_config" not in checkpoint.config
    assert set(expected) < set(checkpoint.names)


def test_it_runs_as_what_it_decodes_to(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    expected = save(tmp_path / "model", AWQ)
    save_llama(tmp_path / "dense")
    state = load_file(tmp_path / "dense" / "model.safetensors")
    state.update({name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in expected.items()})
    save_file(state, tmp_path / "dense" / "model.safetensors", {"format": "pt"})
    reference = AutoModelForCausalLM.from_pretrained(tmp_path / "dense", dtype=torch.float32)
    ids = [1, 5, 9, 3, 20, 14, 7, 30, 2, 11]
    with torch.no_grad():
        best = [int(row.argmax()) for row in reference(torch.tensor([ids])).logits[0]]
    with honed.load(tmp_path / "model", dtype="float32") as model:
        assert model.generate(ids, max_tokens=1, temperature=0).tokens == (best[-1],)


@pytest.mark.parametrize(("quantization", "group"), [(GPTQ, 32), (AWQ, 64)])
def test_int4_keeps_the_codes(quantization: dict[str, Any], group: int, tmp_path: Path) -> None:
    """The published rounding is the one that runs, with int8 in front of it; groups of 64 repeat their scales."""
    expected = save(tmp_path / "model", quantization, group=group)
    compress(tmp_path / "model", "int4", out=tmp_path / "out", threads=1)
    artifact = Artifact(tmp_path / "out")
    for name, values in expected.items():
        weight = artifact.weight(name)
        assert isinstance(weight, Int4)
        assert (weight.group, weight.activation.group) == (32, 32)
        np.testing.assert_array_equal(weight.decode(), values)


def test_what_is_not_read_is_named(tmp_path: Path) -> None:
    directory = tmp_path / "model"
    save(directory, GPTQ)
    for change, message in (
        ({"bits": 3}, r"quantization_config\.bits: 3 is not read of gptq; read are 2, 4, 8"),
        ({"group_size": 0}, r"group_size.*is 0, must be -1 or a number of inputs"),
        ({"checkpoint_format": "marlin"}, "checkpoint_format.*marlin.*read are gptq, gptq_v2"),
        ({"dynamic": {"+:.*down.*": {"bits": 8}}}, "modules of 8 bits among those of 4"),
    ):
        change_config(directory, {"bits": 4, "group_size": 32, **GPTQ, **change})
        with pytest.raises((UnsupportedError, FormatError), match=message):
            open_checkpoint(str(directory))
    change_config(directory, {**AWQ, "bits": 4, "group_size": 32, "version": "gemv"})
    with pytest.raises(UnsupportedError, match=r"version.*gemv.*read is gemm"):
        open_checkpoint(str(directory))


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("qzeros", None, r"qzeros.*is missing"),
        ("scales", None, r"scales.*is missing"),
        ("qzeros", torch.zeros((1, 1), dtype=torch.int32), r"qzeros.*is I32 \(1, 1\), must be I32"),
        ("g_idx", torch.full((64,), 9, dtype=torch.int32), r"g_idx.*names group 9; there are 2"),
        ("scales", torch.zeros((2, 7), dtype=torch.float16), r"scales.*must be a row of"),
    ],
)
def test_parts_that_do_not_fit_their_words_are_named(
    part: str, change: torch.Tensor | None, message: str, tmp_path: Path
) -> None:
    directory = tmp_path / "model"
    save(directory, GPTQ)
    state = load_file(directory / "model.safetensors")
    name = f"{UP.removesuffix('weight')}{part}"
    del state[name]
    if change is not None:
        state[name] = change
    save_file(state, directory / "model.safetensors", {"format": "pt"})
    checkpoint = GptqAwqCheckpoint(Directory(directory))
    with pytest.raises(FormatError, match=message):
        checkpoint.weight(UP)


def test_shapes_are_held_against_the_config(tmp_path: Path) -> None:
    directory = tmp_path / "model"
    save(directory, GPTQ)
    state = load_file(directory / "model.safetensors")
    state[f"{DOWN.removesuffix('weight')}qweight"] = torch.zeros((2, 8), dtype=torch.int32)
    save_file(state, directory / "model.safetensors", {"format": "pt"})
    with pytest.raises(FormatError, match="down_proj"):
        open_checkpoint(str(directory))
