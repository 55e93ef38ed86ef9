from __future__ import annotations

import re

from honed.encodings.base import Encoded
from honed.encodings.codebook import TABLES
from honed.encodings.codebook_encoder import encode_codebook
from honed.encodings.int4_encoder import encode_int4
from honed.encodings.int8_encoder import encode_int8
from honed.plan.dump import dump_checkpoint
from tiny_models import MemoryCheckpoint, golden


def sections(text: str) -> dict[str, list[str]]:
    parts = re.split(r"^== (.+) ==\n", text, flags=re.MULTILINE)
    return {title: body.splitlines() for title, body in zip(parts[1::2], parts[2::2], strict=True)}


def test_each_stage_in_its_own_words() -> None:
    stages = sections(dump_checkpoint(golden("qwen2").checkpoint))
    assert list(stages) == ["recorded", "fused", "laid out"]
    q = "model.layers.0.self_attn.q_proj"
    assert stages["recorded"][2].split(maxsplit=5)[5] == f"Linear(%1, weight={q}.weight, bias={q}.bias)"
    assert f"Matmul(%1, parts=[{q}.weight + {q}.bias, " in stages["fused"][2]
    head = ["inputs:", "i0 tokens: ids below 97", "outputs:", "logits in s14", "caches:"]
    cache = "2 KV heads, keys of 12, values of 12"
    found = [" ".join(line.split()) for line in stages["laid out"]]
    assert found[:9] == [*head, f"c0 {cache}", f"c1 {cache}", "ops:", found[8]]
    assert found[8] == "0 embed output=s0 table=w0 width=48 ids=0 first_row=0 epilogue=store"
    assert any(line.startswith("  w2    float32 96 x 48: ") for line in stages["laid out"])


def encode(name: str, weight: Encoded) -> Encoded:
    return encode_int8(weight, name=name) if "attn" in name else encode_int4(weight, name=name, search=False)


def test_encodings_are_named() -> None:
    text = dump_checkpoint(MemoryCheckpoint.encoding(golden("llama2").checkpoint, encode))
    mlp = "model.layers.0.mlp"
    assert "int8 per channel, activations per token 160 x 48: model.layers.0.self_attn.q_proj.weight at 0" in text
    assert f"int4 group 32 zero point, activations per token 192 x 48: {mlp}.gate_proj.weight at 0 step 2" in text
    assert "tokens x 48 int8" in text


def codebook(name: str, weight: Encoded) -> Encoded:
    return encode_codebook(weight, name=name, table=TABLES["normal_float"], search=False)


def test_a_codebook_is_named_by_its_table() -> None:
    text = dump_checkpoint(MemoryCheckpoint.encoding(golden("llama2").checkpoint, codebook))
    assert "codebook normal_float group 32, activations per token 160 x 48: model.layers.0.self_attn.q_proj" in text
