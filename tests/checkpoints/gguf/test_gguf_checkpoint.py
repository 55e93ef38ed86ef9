"""GGUF checkpoints: weights as transformers reads them from the same file, and metadata that lies."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from gguf_builder import HEAD_DIM, HIDDEN, KV_HEADS, VOCABULARY, pair, random_arrays, write_model
from honed.checkpoints.gguf.checkpoint import GgufCheckpoint
from honed.checkpoints.gguf.config import ARCHITECTURES
from honed.encodings.dense import Dense
from honed.encodings.gguf_blocks import GgufBlocks
from honed.errors import FormatError, HonedError, SourceError, UnsupportedError

F32, F16, BF16, Q4_0, Q8_0 = (gguf.GGMLQuantizationType[name] for name in ("F32", "F16", "BF16", "Q4_0", "Q8_0"))


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3", "gemma2", "gemma3"])
@pytest.mark.parametrize("kind", [F32, F16, BF16, Q4_0, Q8_0], ids=lambda kind: kind.name)
def test_weights_are_those_that_transformers_reads(
    tmp_path: Path, architecture: str, kind: gguf.GGMLQuantizationType
) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    path = write_model(tmp_path / "m.gguf", architecture, kind=kind)
    checkpoint = GgufCheckpoint(path)
    sizes = AutoConfig.for_model(**checkpoint.config)  # its own reader takes sizes from the tokenizer, or guesses
    model = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="m.gguf", config=sizes, dtype="float32")
    expected = {name: value.numpy() for name, value in model.state_dict().items() if name != "lm_head.weight"}
    assert set(checkpoint.names) == set(expected)
    for name, values in expected.items():
        weight = checkpoint.weight(name)
        assert weight.shape == values.shape
        # transformers takes the 1 off that the norms of a Gemma have in a file.
        taken: np.float32 = np.float32(architecture.startswith("gemma") and name.endswith("norm.weight"))
        assert np.array_equal(weight.decode() - taken, values), name
        assert np.array_equal(weight.decode(slice(3, 9)) - taken, values[3:9])


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
def test_config_is_the_one_that_transformers_makes(tmp_path: Path, architecture: str) -> None:
    from transformers import AutoConfig

    changed = {".attention.key_length": HEAD_DIM} if architecture == "qwen3" else {}
    path = write_model(tmp_path / "m.gguf", architecture, changed=changed)
    expected = AutoConfig.from_pretrained(tmp_path, gguf_file="m.gguf").to_dict()
    config = GgufCheckpoint(path).config
    assert config["rope_theta"] == expected["rope_parameters"]["rope_theta"]
    assert config["vocab_size"] == VOCABULARY  # transformers leaves its default where the file has no tokenizer
    compared = [name for name in config if name in expected and name not in ("vocab_size", "architectures", "head_dim")]
    assert len(compared) >= 9
    assert {name: config[name] for name in compared} == {name: expected[name] for name in compared}


def test_protocol(tmp_path: Path) -> None:
    checkpoint = GgufCheckpoint(write_model(tmp_path / "m.gguf", kind=Q8_0))
    assert (checkpoint.kind, checkpoint.path, checkpoint.files) == ("gguf", tmp_path / "m.gguf", (tmp_path / "m.gguf",))
    assert isinstance(checkpoint.weight("model.norm.weight"), Dense)
    assert isinstance(checkpoint.weight("model.embed_tokens.weight"), GgufBlocks)
    assert checkpoint.config["tie_word_embeddings"] is True
    with pytest.raises(KeyError):
        checkpoint.weight("lm_head.weight")


def test_untied_head(tmp_path: Path) -> None:
    arrays = random_arrays("llama")
    arrays["output.weight"] = arrays["token_embd.weight"] + 1
    checkpoint = GgufCheckpoint(write_model(tmp_path / "m.gguf", arrays=arrays))
    assert checkpoint.config["tie_word_embeddings"] is False
    assert np.array_equal(checkpoint.weight("lm_head.weight").decode(), arrays["output.weight"])


def test_bias_of_a_llama_is_reordered_like_its_rows(tmp_path: Path) -> None:
    arrays = random_arrays("llama")
    for layer in range(2):
        for part, width in (("q", HIDDEN), ("k", KV_HEADS * HEAD_DIM), ("v", KV_HEADS * HEAD_DIM), ("output", HIDDEN)):
            arrays[f"blk.{layer}.attn_{part}.bias"] = np.arange(width, dtype=np.float32)
    checkpoint = GgufCheckpoint(write_model(tmp_path / "m.gguf", arrays=arrays))
    assert checkpoint.config["attention_bias"] is True
    head = [2 * i + j for j in (0, 1) for i in range(HEAD_DIM // 2)]
    expected = [HEAD_DIM * h + row for h in range(KV_HEADS) for row in head]
    assert checkpoint.weight("model.layers.0.self_attn.k_proj.bias").decode().tolist() == expected
    assert checkpoint.weight("model.layers.0.self_attn.v_proj.bias").decode().tolist() == sorted(expected)


LIES: dict[str, tuple[dict[str, int | float | str | None], str]] = {
    "layers": ({".block_count": 10**9}, "num_hidden_layers"),
    "one layer more": ({".block_count": 3}, "model.layers.2.input_layernorm.weight: is missing"),
    "one layer fewer": ({".block_count": 1}, "num_hidden_layers: is 1, but the weights hold model.layers.1"),
    "no layers": ({".block_count": 0}, "num_hidden_layers"),
    "heads": ({".attention.head_count": 5}, "head_count: 5 does not divide"),
    "no heads": ({".attention.head_count": 0}, "head_count: 0 does not divide"),
    "many heads": ({".attention.head_count": 2**32 - 1}, "head_count"),
    "other heads": ({".attention.head_count": 8}, "self_attn.k_proj.weight: has shape"),
    "key heads": ({".attention.head_count_kv": 3}, "num_key_value_heads"),
    "no key heads": ({".attention.head_count_kv": 0}, "num_key_value_heads"),
    "width": ({".embedding_length": 128}, "model.embed_tokens.weight: has shape"),
    "huge width": ({".embedding_length": 2**32 - 4}, "hidden_size"),
    "inner width": ({".feed_forward_length": 95}, "gate_proj.weight: has shape"),
    "vocabulary": ({".vocab_size": 41}, "model.embed_tokens.weight: has shape"),
    "huge vocabulary": ({".vocab_size": 2**31}, "vocab_size"),
    "context": ({".context_length": 2**32 - 1}, "max_position_embeddings"),
    "no context": ({".context_length": None}, "llama.context_length: is missing"),
    "epsilon": ({".attention.layer_norm_rms_epsilon": float("nan")}, "rms_norm_eps"),
    "no epsilon": ({".attention.layer_norm_rms_epsilon": None}, "layer_norm_rms_epsilon: is missing"),
    "base": ({".rope.freq_base": float("inf")}, "rope_theta"),
    "type": ({".block_count": "two"}, "llama.block_count: is str 'two', must be an integer"),
}


@pytest.mark.parametrize("name", LIES)
def test_metadata_that_lies_is_refused(tmp_path: Path, name: str) -> None:
    changed, message = LIES[name]
    path = write_model(tmp_path / "m.gguf", changed=changed)
    tracemalloc.start()
    begun = time.perf_counter()
    with pytest.raises(FormatError, match=message):
        GgufCheckpoint(path)
    assert time.perf_counter() - begun < 1.0
    assert tracemalloc.get_traced_memory()[1] < 100e6
    tracemalloc.stop()


UNSUPPORTED: dict[str, tuple[dict[str, int | float | str | None], str]] = {
    "rotary width": ({".rope.dimension_count": 8}, "rope.dimension_count 8 differs"),
    "value width": ({".attention.value_length": 32}, "value_length 32 differs"),
    "scaling": (
        {".rope.scaling.type": "su"},
        "rope.scaling.type 'su' is not supported; supported are none, linear, yarn",
    ),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_variants_are_refused(tmp_path: Path, name: str) -> None:
    changed, message = UNSUPPORTED[name]
    with pytest.raises(UnsupportedError, match=message):
        GgufCheckpoint(write_model(tmp_path / "m.gguf", changed=changed))


def test_architectures_that_are_not_read(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=f"'mamba' is not supported; supported are {', '.join(ARCHITECTURES)}"):
        GgufCheckpoint(write_model(tmp_path / "m.gguf", "mamba"))


@pytest.mark.parametrize(
    "extra", ["blk.0.ffn_gate_exps.weight", "blk.0.attn_q_norm.weight", "cls.weight", "blk.1.attn_v.bias"]
)
def test_tensors_that_the_model_would_not_use_are_refused(tmp_path: Path, extra: str) -> None:
    arrays = random_arrays("llama") | {extra: np.ones(16, np.float32)}
    with pytest.raises(UnsupportedError, match=extra):
        GgufCheckpoint(write_model(tmp_path / "m.gguf", arrays=arrays))


def test_missing_tensors_are_named(tmp_path: Path) -> None:
    for missing, shown in (("token_embd.weight", "token_embd.weight"), ("blk.1.ffn_up.weight", "layers.1.mlp.up_proj")):
        arrays = random_arrays("llama")
        del arrays[missing]
        with pytest.raises(FormatError, match=shown):
            GgufCheckpoint(write_model(tmp_path / "m.gguf", arrays=arrays))


def test_more_tokens_than_rows(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf")
    checkpoint = GgufCheckpoint(path)
    # The array is spliced in as the last pair of the well-formed file.
    data = bytearray(path.read_bytes())
    first = min(checkpoint.header.tensors.values(), key=lambda entry: entry.start)
    tokens = pair("tokenizer.ggml.tokens", 9, (8, [f"t{i}" for i in range(VOCABULARY + 1)]))
    place = data.index(first.name.encode()) - 8  # at the length in front of the first name
    data[16:24] = (int.from_bytes(data[16:24], "little") + 1).to_bytes(8, "little")
    spliced = bytes(data[:place]) + tokens + bytes(data[place:]) + bytes(64)
    with pytest.raises(FormatError, match=r"tokenizer.ggml.tokens: has 41 tokens, the embedding 40 rows"):
        GgufCheckpoint(path, memoryview(spliced))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "empty.gguf").touch()
    with pytest.raises(FormatError, match=r"empty.gguf: size: the file is empty"):
        GgufCheckpoint(tmp_path / "empty.gguf")
    with pytest.raises(SourceError, match=r"no.gguf: cannot be read: No such file"):
        GgufCheckpoint(tmp_path / "no.gguf")


def test_flipped_bits_of_a_whole_model_never_crash(tmp_path: Path) -> None:
    """Header, config, tokenizer and every weight of files with one bit changed in the header."""
    whole = write_model(tmp_path / "m.gguf", kind=Q8_0).read_bytes()
    end = min(entry.start for entry in GgufCheckpoint(tmp_path / "m.gguf").header.tensors.values())
    rng = np.random.default_rng(3)
    opened = 0
    for _ in range(300):
        data = bytearray(whole)
        data[rng.integers(end)] ^= 1 << int(rng.integers(8))
        try:
            checkpoint = GgufCheckpoint(tmp_path / "m.gguf", memoryview(data))
        except HonedError:
            continue
        opened += 1
        for name in checkpoint.names:
            checkpoint.weight(name).decode(slice(0, 2))
        with pytest.raises(FormatError, match=r"tokenizer.ggml.model: is missing"):
            checkpoint.tokenizer()
    assert 0 < opened < 150


@pytest.mark.real_model
def test_demo_model(smollm2_gguf: Path) -> None:
    checkpoint = GgufCheckpoint(smollm2_gguf)
    assert len(checkpoint.names) == 272
    assert checkpoint.config["num_hidden_layers"] == 30
    data = np.memmap(smollm2_gguf, dtype=np.uint8, mode="r")

    def stored(name: str) -> NDArray[np.float32]:
        entry = checkpoint.header.tensors[name]
        raw = np.asarray(data[entry.start : entry.start + entry.nbytes]).reshape(entry.shape[0], -1)
        kind = gguf.GGMLQuantizationType(entry.format.type_id)
        return np.asarray(gguf.quants.dequantize(raw, kind), dtype=np.float32)

    for name, source in (
        ("model.layers.29.mlp.down_proj.weight", "blk.29.ffn_down.weight"),
        ("model.layers.7.self_attn.v_proj.weight", "blk.7.attn_v.weight"),
    ):
        assert np.array_equal(checkpoint.weight(name).decode(), stored(source))
    halves = stored("blk.3.attn_k.weight").reshape(3, 32, 2, 576)
    expected = np.concatenate([halves[:, :, 0], halves[:, :, 1]], axis=1).reshape(192, 576)
    assert np.array_equal(checkpoint.weight("model.layers.3.self_attn.k_proj.weight").decode(), expected)
