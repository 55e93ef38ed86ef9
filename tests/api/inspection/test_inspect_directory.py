"""Directories that do not run: what they are, and everything that is missing, each thing once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honed.api.inspection.report import examine
from honed.errors import SourceError
from inspected_models import LLAMA, sample, told, write, zeros


def examined(*given: Any) -> dict[str, Any]:
    report = examine(write(*given))
    assert not report["runs"]
    return report


def test_every_field_that_is_refused_is_named_with_its_value(tmp_path: Path) -> None:
    wrong = {"alibi": True, "hidden_act": "relu6", "logit_scale": 2.0, "rms_norm_eps": "small"}
    wrong["rope_scaling"] = {"rope_type": "magic", "factor": 2.0}
    fields = told(examined(tmp_path, {**LLAMA, **wrong}, zeros(LLAMA)), "field")
    values = {name: fault["value"] for name, fault in fields.items()}
    assert values == {
        "alibi": "True",
        "hidden_act": "'relu6'",
        "logit_scale": "2.0",
        "rms_norm_eps": "'small'",
        "rope_scaling.rope_type": "'magic'",
    }
    assert "supported are" in fields["hidden_act"]["problem"]


def test_what_follows_from_a_wrong_size_is_not_told(tmp_path: Path) -> None:
    report = examined(tmp_path, {**LLAMA, "hidden_size": "many", "logit_scale": 3}, zeros(LLAMA))
    assert set(told(report, "field")) == {"hidden_size", "logit_scale"}
    assert len(report["faults"]) == 2
    assert report["memory"] is None
    assert report["layers"] == 2
    assert report["parameters"] == sum(array.size for array in zeros(LLAMA).values())


def test_tensors_that_are_missing_superfluous_or_of_another_shape(tmp_path: Path) -> None:
    arrays = {name: array for name, array in zeros(LLAMA).items() if "up_proj" not in name}
    norms = {f"model.layers.{layer}.self_attn.q_norm.weight": np.ones(16, np.float32) for layer in (0, 1)}
    arrays |= {**norms, "model.norm.weight": np.zeros(63, np.float32), "vision.patch.weight": np.zeros(4, np.float32)}
    report = examined(tmp_path, LLAMA, arrays)
    missing, more = told(report, "missing"), told(report, "superfluous")
    assert missing.keys() == {"model.layers.N.mlp.up_proj.weight"}
    assert missing["model.layers.N.mlp.up_proj.weight"]["count"] == 2
    assert "model.layers.1.mlp.up_proj.weight" in missing["model.layers.N.mlp.up_proj.weight"]["examples"]
    assert more.keys() == {"model.layers.N.self_attn.q_norm.weight"}
    assert told(report, "shape")["model.norm.weight"]["problem"] == "has shape (63,); the config describes (64,)"


def test_types_that_are_no_weights(tmp_path: Path) -> None:
    arrays = {name: array.astype(np.int8) if "up_proj" in name else array for name, array in zeros(LLAMA).items()}
    report = examined(tmp_path, LLAMA, arrays)
    (fault,) = report["faults"]
    assert (fault["kind"], fault["name"], fault["count"]) == ("type", "I8", 2)
    assert report["encodings"]["I8"] == {"tensors": 2, "bytes": 2 * 64 * 96}


def packed(arrays: dict[str, Any], method: str = "gptq") -> dict[str, Any]:
    """Eight codes of four bits in a word: of GPTQ along the inputs, of AWQ along the outputs."""
    found: dict[str, Any] = {}
    for name, array in arrays.items():
        if not name.endswith("_proj.weight"):
            found[name] = array
            continue
        module, (rows, width) = name.removesuffix(".weight"), array.shape
        words = (width, rows // 8) if method == "awq" else (width // 8, rows)
        found[f"{module}.qweight"] = np.zeros(words, np.int32)
        found[f"{module}.qzeros"] = np.zeros((width // 32, rows // 8), np.int32)
        found[f"{module}.scales"] = np.zeros((width // 32, rows), np.float16)
        if method == "gptq":
            found[f"{module}.g_idx"] = np.zeros(width, np.int32)
    return found


@pytest.mark.parametrize("method", ["gptq", "awq"])
def test_a_quantization_in_words_is_counted_by_its_codes(method: str, tmp_path: Path) -> None:
    arrays = zeros(LLAMA)
    quantization = {"quant_method": method, "bits": 4, "group_size": 32}
    report = examine(write(tmp_path, {**LLAMA, "quantization_config": quantization}, packed(arrays, method)))
    assert report["faults"] == []
    assert report["runs"]
    assert (report["quantization"], report["model_type"]) == (method, "llama")
    assert report["parameters"] == sum(array.size for array in arrays.values())


@pytest.mark.parametrize(
    ("quantization", "name", "value"),
    [
        ({"quant_method": "hqq", "bits": 4}, "quantization_config.quant_method", "'hqq'"),
        ({"quant_method": "gptq", "bits": 3}, "quantization", None),
    ],
)
def test_a_foreign_quantization_is_told_and_its_codes_are_counted(
    quantization: dict[str, Any], name: str, value: str | None, tmp_path: Path
) -> None:
    arrays = zeros(LLAMA)
    report = examined(tmp_path, {**LLAMA, "quantization_config": quantization}, packed(arrays))
    (fault,) = report["faults"]
    assert fault["kind"] == "quantization"
    assert fault["name"].startswith(name)
    assert value is None or fault["value"] == value
    assert report["model_type"] == "llama"
    if quantization["bits"] == 4:
        assert report["parameters"] == sum(array.size for array in arrays.values())


def test_formats_of_compressed_tensors_that_are_not_read(tmp_path: Path) -> None:
    group = {"targets": ["Linear"], "format": "float-quantized", "weights": {"num_bits": 8, "type": "float"}}
    settings = {"quant_method": "compressed-tensors", "config_groups": {"group_0": group}}
    report = examined(tmp_path, {**LLAMA, "quantization_config": settings}, zeros(LLAMA))
    faults = told(report, "quantization")
    assert any("float-quantized" in fault["problem"] for fault in faults.values()), faults


def test_a_config_alone_says_what_the_model_would_take(tmp_path: Path) -> None:
    report = examined(tmp_path, {**LLAMA, "torch_dtype": "bfloat16"})
    assert set(told(report, "file")) == {"model.safetensors"}
    assert report["parameters"] == sum(array.size for array in zeros(LLAMA).values())
    assert report["memory"]["weights_assumed"] == "bfloat16"
    assert report["memory"]["weights_bytes"] > 2 * report["parameters"]


def test_pickled_weights_are_named_and_not_opened(tmp_path: Path) -> None:
    report = examined(tmp_path, LLAMA, None, ["pytorch_model-1.bin", "pytorch_model-2.bin"])
    (fault,) = report["faults"]
    assert fault["examples"] == ["pytorch_model-1.bin", "pytorch_model-2.bin"]
    assert "run code" in fault["problem"]
    assert report["file_bytes"] == 2 * len(b"not read")


def test_weights_without_a_config_are_told_by_their_names(tmp_path: Path) -> None:
    report = examined(tmp_path, None, zeros(LLAMA))
    assert (report["kind"], report["model_type"]) == ("safetensors", None)
    assert report["nearest"] == {"model_type": "llama", "not_known": {}, "lacking": []}
    alone = examine(f"{tmp_path}/model.safetensors")
    assert not alone["runs"]
    assert alone["parameters"] == report["parameters"]


def test_an_unknown_model_is_compared_with_the_nearest(tmp_path: Path) -> None:
    config = {**LLAMA, "model_type": "deepseek_v3", "auto_map": {"AutoModel": "code.py"}}
    config |= {"n_routed_experts": 256, "kv_lora_rank": 512, "attention_dropout": 0.1, "q_lora_rank": None}
    arrays = {**zeros(LLAMA), "model.layers.0.self_attn.kv_a_proj.weight": np.zeros((2, 2), np.float32)}
    report = examined(tmp_path, config, arrays)
    assert set(told(report, "model_type")) == {"model_type", "auto_map"}
    fields = told(report, "field")
    assert {name: fault["value"] for name, fault in fields.items()} == {
        "n_routed_experts": "256",
        "kv_lora_rank": "512",
    }
    assert report["nearest"]["not_known"] == {"model.layers.N.self_attn.kv_a_proj.weight": 1}
    assert (report["layers"], report["heads"], report["context"]) == (2, 4, 128)


def test_the_text_part_of_a_larger_model_is_named(tmp_path: Path) -> None:
    report = examined(tmp_path, {"model_type": "gemma3", "text_config": sample("gemma3_text")})
    assert told(report, "field")["text_config"]["value"] == "'gemma3_text'"
    assert report["layers"] == 6


def test_files_that_cannot_be_read_are_faults_of_their_own(tmp_path: Path) -> None:
    write(tmp_path, LLAMA)
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 20)
    assert set(told(examine(str(tmp_path)), "file")) == {"model.safetensors"}
    (tmp_path / "config.json").write_text("{")
    assert "config.json" in told(examine(str(tmp_path)), "file")


def test_missing_shards_are_named(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "x.safetensors"}}')
    report = examined(tmp_path, LLAMA)
    assert set(told(report, "file")) == {"x.safetensors"}


def test_a_directory_of_something_else_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"has no config\.json"):
        examine(write(tmp_path, None, None, ["notes.txt"]))


def test_a_config_that_describes_too_much_is_not_counted(tmp_path: Path) -> None:
    report = examined(tmp_path, {**sample("qwen3_moe"), "num_hidden_layers": 1024, "num_experts": 1024})
    assert "num_hidden_layers" in told(report, "field")
    assert report["parameters"] is None
