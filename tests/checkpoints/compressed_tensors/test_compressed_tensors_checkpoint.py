"""What the compressed-tensors library wrote, read here: the same values, and codes kept only where that is honest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from divisible_models import save_llama
from honed.checkpoints.compressed_tensors.checkpoint import CompressedCheckpoint
from honed.checkpoints.compressed_tensors.config import read_layers
from honed.checkpoints.huggingface.directory import Directory
from honed.checkpoints.open import open_checkpoint
from honed.encodings.dense import Dense
from honed.encodings.int4 import Int4
from honed.encodings.int8 import Int8
from honed.encodings.weight_only import WeightOnly
from honed.errors import FormatError, UnsupportedError

UP = "model.layers.0.mlp.up_proj.weight"
TOKEN = {"num_bits": 8, "type": "int", "symmetric": True, "dynamic": True, "strategy": "token"}
GROUPS = {**TOKEN, "strategy": "group", "group_size": 32}


def weights(bits: int, group: int | None, *, symmetric: bool = True) -> dict[str, Any]:
    strategy = {"strategy": "channel"} if group is None else {"strategy": "group", "group_size": group}
    return {"num_bits": bits, "type": "int", "symmetric": symmetric, "dynamic": False, **strategy}


def save(
    directory: Path, scheme: dict[str, Any], form: str, scale_dtype: torch.dtype = torch.float16
) -> dict[str, Any]:
    """A checkpoint compressed by the library; gives its own decoding of every layer, by weight name."""
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationScheme
    from compressed_tensors.quantization.utils import calculate_qparams

    save_llama(directory)
    state = load_file(directory / "model.safetensors")
    compressor = BaseCompressor.get_value_from_registry(form)
    parsed = QuantizationScheme.model_validate({"targets": ["Linear"], **scheme})
    decoded: dict[str, Any] = {}
    for name in [name for name in state if "_proj.weight" in name]:
        weight = state.pop(name)
        group = parsed.weights.group_size or weight.shape[1]
        runs = weight.reshape(weight.shape[0], -1, group)
        scale, zero = calculate_qparams(runs.amin(-1), runs.amax(-1), parsed.weights)
        module = {"weight": weight, "weight_scale": scale.to(scale_dtype), "weight_zero_point": zero}
        compressed = compressor.compress(module, parsed)
        decoded[name] = compressor.decompress(
            {key: value.float() if key == "weight_scale" else value for key, value in compressed.items()}, parsed
        )["weight"].numpy()
        state.update({name.removesuffix("weight") + key: value.contiguous() for key, value in compressed.items()})
    save_file(state, directory / "model.safetensors", {"format": "pt"})
    config = json.loads((directory / "config.json").read_text())
    config["quantization_config"] = {
        "quant_method": "compressed-tensors",
        "format": form,
        "quantization_status": "compressed",
        "config_groups": {"group_0": {"targets": ["Linear"], **scheme}},
        "ignore": ["lm_head"],
    }
    (directory / "config.json").write_text(json.dumps(config))
    return decoded


CASES: list[tuple[str, dict[str, Any], str, type[Any]]] = [
    ("w8a8", {"weights": weights(8, None), "input_activations": TOKEN}, "int-quantized", Dense),
    ("w8a16", {"weights": weights(8, 32)}, "pack-quantized", Dense),
    ("w4a16", {"weights": weights(4, 32)}, "pack-quantized", WeightOnly),
    ("w4a16 zero point", {"weights": weights(4, 32, symmetric=False)}, "pack-quantized", WeightOnly),
    ("w4a8", {"weights": weights(4, 32), "input_activations": TOKEN}, "pack-quantized", Int4),
    (
        "w4a8 zero point",
        {"weights": weights(4, 32, symmetric=False), "input_activations": GROUPS},
        "pack-quantized",
        Int4,
    ),
]


@pytest.mark.parametrize(("name", "scheme", "form", "kind"), CASES, ids=[case[0] for case in CASES])
def test_values_are_those_of_the_library(
    name: str, scheme: dict[str, Any], form: str, kind: type[Any], tmp_path: Path
) -> None:
    decoded = save(tmp_path, scheme, form)
    checkpoint = open_checkpoint(str(tmp_path))
    assert isinstance(checkpoint, CompressedCheckpoint)
    assert checkpoint.kind == "huggingface"
    for layer, values in decoded.items():
        weight = checkpoint.weight(layer)
        assert np.array_equal(weight.decode(), values), layer
        if name == "w8a8":
            # The library's range has 256 codes; a layer that uses -128 cannot be kept.
            assert isinstance(weight, Int8 | Dense)
        else:
            assert isinstance(weight, kind)
    assert checkpoint.weight("model.norm.weight").kind == "dense"
    assert set(decoded) < set(checkpoint.names)
    assert not any("weight_" in layer for layer in checkpoint.names)


def test_int8_codes_are_kept_where_they_fit(tmp_path: Path) -> None:
    save(tmp_path, {"weights": weights(8, None), "input_activations": TOKEN}, "int-quantized")
    state = load_file(tmp_path / "model.safetensors")
    state[UP] = state[UP].clamp(min=-127)
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    weight = CompressedCheckpoint(Directory(tmp_path)).weight(UP)
    assert isinstance(weight, Int8)
    assert (weight.group, weight.activation.group) == (None, None)
    state[UP][3, 3] = -128
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    assert isinstance(CompressedCheckpoint(Directory(tmp_path)).weight(UP), Dense)


def test_scales_that_float16_cannot_hold_are_decoded(tmp_path: Path) -> None:
    scheme = {"weights": weights(4, 32), "input_activations": TOKEN}
    decoded = save(tmp_path, scheme, "pack-quantized", torch.float32)
    weight = CompressedCheckpoint(Directory(tmp_path)).weight(UP)
    assert isinstance(weight, Dense)
    assert np.array_equal(weight.decode(), decoded[UP])


@pytest.mark.parametrize(
    ("tensor", "change", "message"),
    [
        ("weight_shape", torch.tensor([160, 65]), "weight_packed: is"),
        ("weight_shape", torch.tensor([-1, 64]), "weight_packed: is"),
        ("weight_packed", torch.zeros(160, 8, dtype=torch.int64), "int32 words"),
        ("weight_scale", torch.zeros(160, 3, dtype=torch.float16), r"weight_scale: is \(160, 3\), must be \(160, 2\)"),
        ("weight_zero_point", torch.zeros(160, 1, dtype=torch.int8), "weight_zero_point: is I8"),
        ("weight_zero_point", None, "weight_zero_point: is missing"),
        ("weight_shape", None, "weight_shape"),
    ],
)
def test_tensors_that_do_not_fit_are_named(tmp_path: Path, tensor: str, change: Any, message: str) -> None:
    save(tmp_path, {"weights": weights(4, 32, symmetric=False)}, "pack-quantized")
    state = load_file(tmp_path / "model.safetensors")
    name = UP.removesuffix("weight") + tensor
    del state[name]
    if change is not None:
        state[name] = change
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(FormatError, match=message):
        CompressedCheckpoint(Directory(tmp_path)).weight(UP)


def quantization(**changes: Any) -> dict[str, Any]:
    group = {"targets": ["Linear"], "weights": weights(4, 32), **changes.pop("group", {})}
    return {"quantization_config": {"format": "pack-quantized", "config_groups": {"g": group}, **changes}}


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ({"quantization_config": 3}, FormatError, "must be an object"),
        (quantization(config_groups={}), FormatError, "config_groups"),
        (quantization(config_groups={"W4A16": ["Linear"]}), FormatError, "presets"),
        (quantization(format="nvfp4-pack-quantized"), UnsupportedError, "nvfp4"),
        (quantization(format="mixed-precision"), UnsupportedError, "each group must name its own"),
        (quantization(group={"weights": None}), FormatError, "weights"),
        (quantization(group={"weights": {**weights(4, 32), "num_bits": 3}}), UnsupportedError, "4 and 8 bits"),
        (quantization(group={"weights": {**weights(8, 32), "type": "float"}}), UnsupportedError, "integers"),
        (quantization(group={"weights": weights(4, 48)}), UnsupportedError, "group_size 48"),
        (quantization(group={"weights": {**weights(4, 32), "actorder": "group"}}), UnsupportedError, "reordered"),
        (quantization(group={"targets": "Linear"}), FormatError, "list of names"),
        (quantization(group={"targets": ["re:(a{99}){99}$"]}), UnsupportedError, "repeats too much"),
        (quantization(ignore=["re:" + "a*" * 201]), UnsupportedError, "over 400 characters"),
        (quantization(ignore=["re:["]), UnsupportedError, "has a class that is not closed"),
        (quantization(ignore=["re:a"] * 65), UnsupportedError, "over 64 patterns"),
    ],
)
def test_configs_that_are_not_read_say_why(config: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read_layers(config, Path("config.json"))


def test_names_win_over_patterns_and_patterns_over_classes() -> None:
    groups = {
        "a": {"targets": ["Linear"], "weights": weights(4, 32)},
        "b": {"targets": [r"re:.*\.down_proj$"], "weights": weights(8, 64)},
        "c": {"targets": ["x.down_proj"], "weights": weights(8, None), "input_activations": TOKEN},
    }
    layers = read_layers(quantization(config_groups=groups, ignore=["lm_head", "re:.*gate.*"]), Path("config.json"))
    found = {name: layers.of(name) for name in ("x.up_proj", "y.down_proj", "x.down_proj", "lm_head", "x.gate")}
    assert [layer and (layer.bits, layer.group) for layer in found.values()] == [
        (4, 32),
        (8, 64),
        (8, None),
        None,
        None,
    ]
    assert found["x.down_proj"] is not None
    assert found["x.down_proj"].quantizes_activations
