"""Weights out of fused and transposed tensors of a directory: mapped, named in errors, and read under every name that
transformers writes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from honed.checkpoints.compressed_tensors.checkpoint import CompressedCheckpoint
from honed.checkpoints.huggingface.checkpoint import HuggingFaceCheckpoint
from honed.checkpoints.huggingface.directory import Directory
from honed.checkpoints.stored_forms import forms_of, names_in_model, weight_of
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense, MappedDense
from honed.encodings.int8 import Int8
from honed.encodings.rearranged import AddedDense, RowRuns
from honed.errors import FormatError
from honed.models.stored import Stored
from honed.notes import HonedWarning
from honed.ops.values import Weight
from tiny_models import golden

Tensors = dict[str, torch.Tensor]


def changed(family: str, folder: Path, change: Callable[[Tensors], None], **config: Any) -> Directory:
    """A golden model with other tensors, or another config."""
    shutil.copytree(golden(family).checkpoint.path, folder)
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    values = json.loads((folder / "config.json").read_text()) | config
    kept = {name: value for name, value in values.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(kept))
    return Directory(folder)


def values_of(checkpoint: HuggingFaceCheckpoint) -> Mapping[str, NDArray[np.float32]]:
    return {name: checkpoint.weight(name).decode() for name in checkpoint.names}


def assert_same(found: HuggingFaceCheckpoint, family: str) -> None:
    expected = values_of(golden(family).checkpoint)
    assert set(found.names) == set(expected)
    for name, values in values_of(found).items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)


def test_stacked_rows_stay_mapped_and_others_are_put_in_order() -> None:
    k = golden("phi3").checkpoint.weight("model.layers.1.self_attn.k_proj.weight")
    assert isinstance(k, MappedDense)
    assert k.shape == (24, 48)
    neox = golden("gpt_neox").checkpoint.weight("gpt_neox.layers.1.attention.key.weight")
    assert not isinstance(neox, MappedDense)
    stored = load_file(golden("gpt_neox").checkpoint.files[0])["gpt_neox.layers.1.attention.query_key_value.weight"]
    np.testing.assert_array_equal(neox.decode(), stored.reshape(4, 3, 12, 48)[:, 1].reshape(48, 48).numpy())


@pytest.mark.parametrize(
    ("family", "tensor", "shape"),
    [
        ("gpt2", "transformer.h.1.attn.c_attn.weight", (48, 144)),
        ("gpt2", "transformer.h.0.mlp.c_fc.weight", (48, 192)),
        ("gpt_neox", "gpt_neox.layers.1.attention.query_key_value.bias", (144,)),
        ("phi3", "model.layers.0.mlp.gate_up_proj.weight", (176, 48)),
    ],
)
def test_errors_name_the_tensor(family: str, tensor: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    def longer(tensors: Tensors) -> None:
        tensors[tensor] = torch.cat([tensors[tensor], tensors[tensor][:1]])

    def without(tensors: Tensors) -> None:
        del tensors[tensor]

    with pytest.raises(FormatError, match=rf"{tensor}: has shape \({shape[0] + 1},.*describes \({shape[0]},"):
        HuggingFaceCheckpoint(changed(family, tmp_path / "long", longer))
    with pytest.raises(FormatError, match=rf"{tensor}: is missing; config.json describes it as \({shape[0]},"):
        HuggingFaceCheckpoint(changed(family, tmp_path / "none", without))


@pytest.mark.parametrize(("family", "base"), [("gpt2", "transformer."), ("gpt_neox", "gpt_neox."), ("opt", "model.")])
def test_files_of_a_base_model(family: str, base: str, tmp_path: Path) -> None:
    """As openai-community/gpt2 is published: nothing before the names."""

    def bare(tensors: Tensors) -> None:
        for name in list(tensors):
            tensors[name.removeprefix(base)] = tensors.pop(name)

    assert_same(HuggingFaceCheckpoint(changed(family, tmp_path / "m", bare)), family)


def test_both_names_of_the_head_of_a_neox(tmp_path: Path) -> None:
    assert "embed_out.weight" in load_file(golden("gpt_neox").checkpoint.files[0])

    def newer(tensors: Tensors) -> None:
        tensors["lm_head.weight"] = tensors.pop("embed_out.weight")

    assert_same(HuggingFaceCheckpoint(changed("gpt_neox", tmp_path / "m", newer)), "gpt_neox")


def test_masks_are_no_weights_but_other_tensors_of_a_layer_are(tmp_path: Path) -> None:
    def with_masks(tensors: Tensors) -> None:
        tensors["transformer.h.0.attn.bias"] = torch.ones(1, 1, 8, 8)
        tensors["transformer.h.0.attn.masked_bias"] = torch.tensor(-1e4)

    found = HuggingFaceCheckpoint(changed("gpt2", tmp_path / "m", with_masks))
    assert "transformer.h.0.attn.q_proj.weight" in found.names
    np.testing.assert_array_equal(
        found.weight("transformer.h.0.attn.q_proj.bias").decode(),
        golden("gpt2").checkpoint.weight("transformer.h.0.attn.q_proj.bias").decode(),
    )

    def with_more(tensors: Tensors) -> None:
        tensors["transformer.h.0.crossattention.c_attn.weight"] = torch.ones(2, 2)

    with pytest.raises(FormatError, match=r"crossattention.*the model has no such weight"):
        HuggingFaceCheckpoint(changed("gpt2", tmp_path / "n", with_more))


def test_a_head_of_its_own_counts_where_the_config_ties_by_leaving_it_out(tmp_path: Path) -> None:
    def with_head(tensors: Tensors) -> None:
        tensors["lm_head.weight"] = tensors["transformer.wte.weight"] + 1

    with pytest.warns(HonedWarning, match="tie_word_embeddings is true where it is left out"):
        found = HuggingFaceCheckpoint(changed("gpt2", tmp_path / "m", with_head, tie_word_embeddings=None))
    assert found.config["tie_word_embeddings"] is False
    np.testing.assert_array_equal(
        found.weight("lm_head.weight").decode(), found.weight("transformer.wte.weight").decode() + np.float32(1)
    )


def test_rows_of_compressed_layers_keep_their_codes(tmp_path: Path) -> None:
    made: Tensors = {}

    def compressed(tensors: Tensors) -> None:
        for name in list(tensors):
            if "_proj" in name:
                scales = tensors[name].abs().amax(1, keepdim=True) / 127
                made[name] = (tensors[name] / scales).round().to(torch.int8)
                tensors[name] = made[name]
                tensors[name.replace(".weight", ".weight_scale")] = scales

    weights = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel"}
    inputs = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True}
    group = {"targets": ["Linear"], "weights": weights, "input_activations": inputs, "output_activations": None}
    config = {
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "ignore": ["lm_head"],
        "config_groups": {"group_0": group},
    }
    directory = changed("phi3", tmp_path / "m", compressed, quantization_config=config)
    checkpoint = CompressedCheckpoint(directory)
    assert set(checkpoint.names) == set(golden("phi3").checkpoint.names)
    up = checkpoint.weight("model.layers.1.mlp.up_proj.weight")
    assert isinstance(up, Int8)
    np.testing.assert_array_equal(up.codes, made["model.layers.1.mlp.gate_up_proj.weight"][88:].numpy())


def test_a_matrix_of_several_a_sum_and_names() -> None:
    tensor = Dense(np.arange(24, dtype=np.float32).reshape(2, 4, 3), "float32")
    norm = Dense(np.zeros(3, np.float32), "float32")
    forms = {
        "expert.1.down": Stored(Weight("down", (2, 4, 3)), matrix=1, transposed=True, rows=RowRuns(1, 2)),
        "norm": Stored(Weight("norm", (3,)), added=1.0),
    }

    def read(name: str) -> Encoded:
        return {"down": tensor, "norm": norm, "other": norm}[name]

    np.testing.assert_array_equal(weight_of("expert.1.down", forms, read).decode(), tensor.values[1].T[1:3])
    added = weight_of("norm", forms, read)
    assert isinstance(added, AddedDense)
    assert added.decode().tolist() == [1, 1, 1]
    assert weight_of("other", forms, read) is norm
    with pytest.raises(KeyError):
        weight_of("down.unknown", forms, read)
    assert names_in_model(["other", "down", "norm"], forms) == ("other", "expert.1.down", "norm")
    assert forms_of({"model_type": "opt", **golden("opt").checkpoint.config}, Path("c")) == {}
