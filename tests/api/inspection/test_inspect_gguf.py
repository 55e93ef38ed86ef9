"""GGUF files that do not run: architectures, keys, types and tensors that are not known, all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from gguf_builder import RawFile, pair, random_arrays, tensor, write_model
from honed.api.inspection.report import examine
from honed.errors import FormatError
from inspected_models import told


def examined(path: Path) -> dict[str, Any]:
    report = examine(str(path))
    assert not report["runs"]
    return report


def test_every_key_that_is_refused_is_named_with_its_value(tmp_path: Path) -> None:
    changed: dict[str, float | str] = {
        ".attention.max_alibi_bias": 8.0,
        ".rope.scaling.type": "magic",
        ".attention.clamp_kqv": 3.0,
    }
    report = examined(write_model(tmp_path / "m.gguf", changed=changed))
    values = {name: fault["value"] for name, fault in told(report, "key").items()}
    assert values == {
        "llama.attention.max_alibi_bias": "8.0",
        "llama.attention.clamp_kqv": "3.0",
        "llama.rope.scaling.type": "'magic'",
    }
    assert len(report["faults"]) == 3
    assert report["memory"]["kv_bytes_per_1024_tokens"] > 0
    assert (report["layers"], report["kv_heads"], report["context"]) == (2, 2, 128)


def test_tensors_go_by_the_names_of_the_file(tmp_path: Path) -> None:
    arrays = {name: array for name, array in random_arrays("llama").items() if "ffn_up" not in name}
    arrays["blk.1.attn_q_norm.weight"] = arrays["other.weight"] = np.zeros(16, np.float32)
    report = examined(write_model(tmp_path / "m.gguf", arrays=arrays))
    assert told(report, "missing")["blk.N.ffn_up.weight"]["examples"] == ["blk.0.ffn_up.weight", "blk.1.ffn_up.weight"]
    assert set(told(report, "superfluous")) == {"blk.N.attn_q_norm.weight", "other.weight"}


def test_a_missing_key_is_told_and_nothing_is_made_up(tmp_path: Path) -> None:
    report = examined(write_model(tmp_path / "m.gguf", changed={".context_length": None, ".attention.scale": 3.0}))
    assert set(told(report, "key")) == {"llama.context_length", "llama.attention.scale"}
    assert (report["context"], report["layers"], report["memory"]) == (None, 2, None)


def test_an_unknown_architecture_is_read_as_the_nearest(tmp_path: Path) -> None:
    arrays = {**random_arrays("llama"), "blk.0.attn_kv_a_mqa.weight": np.zeros((32, 64), np.float32)}
    changed = {".attention.kv_lora_rank": 512}
    report = examined(write_model(tmp_path / "m.gguf", "deepseek2", changed=changed, arrays=arrays))
    assert told(report, "architecture")["general.architecture"]["value"] == "deepseek2"
    assert told(report, "key")["deepseek2.attention.kv_lora_rank"]["value"] == "512"
    assert report["nearest"]["not_known"] == {"attn_kv_a_mqa": 1}
    assert report["parameters"] == sum(array.size for array in arrays.values())


def raw_file(type_id: int, data: int) -> bytes:
    pairs = [pair("general.architecture", 8, "llama")]
    return RawFile(pairs, [tensor("a.weight", [256, 2], type_id, 0)], bytes(data)).bytes()


def test_types_that_are_not_read_have_their_size(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    nobody_reads = int(gguf.GGMLQuantizationType.Q8_K)
    path.write_bytes(raw_file(nobody_reads, 2 * 292))
    report = examined(path)
    fault = told(report, "type")["Q8_K"]
    assert (fault["count"], fault["examples"]) == (1, ["a.weight"])
    assert report["encodings"] == {"gguf Q8_K": {"tensors": 1, "bytes": 2 * 292}}


def test_a_type_that_nobody_knows_has_the_bytes_up_to_the_next_tensor(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(raw_file(999, 96))
    report = examined(path)
    assert "number 999" in told(report, "type")
    assert report["encodings"] == {"gguf number 999": {"tensors": 1, "bytes": 96}}


def test_a_missing_part_is_told_of_the_part_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "m-00001-of-00002.gguf"
    write_model(path, changed={"split.count": 2, "split.no": 0})
    report = examined(path)
    assert any("m-00002-of-00002.gguf" in fault["problem"] for fault in report["faults"])
    assert report["parameters"] > 0


def test_a_file_without_a_header_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGML" + bytes(64))
    with pytest.raises(FormatError, match="does not begin with GGUF"):
        examine(str(tmp_path / "m.gguf"))
