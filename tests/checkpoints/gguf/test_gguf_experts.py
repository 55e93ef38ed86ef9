"""GGUF files of mixtures of experts against the models in transformers that they were made of, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import gguf
import numpy as np
import pytest

from gguf_builder import write_model
from gguf_experts import Arrays, Keys, architecture_of, arrays_of, keys_of, write_quantized
from honed.backends.interpreter import InterpreterBackend, InterpreterConfig
from honed.backends.native import NativeBackend
from honed.backends.native_config import NativeConfig
from honed.checkpoints.gguf.checkpoint import GgufCheckpoint
from honed.checkpoints.gguf.names import huggingface_name
from honed.encodings.gguf_blocks import GgufBlocks
from honed.errors import FormatError, HonedError, UnsupportedError
from honed.models.registry import FAMILIES, read_model
from tiny_models import golden, whole

CONFIG = InterpreterConfig(kv_tokens=128)
TOLD: dict[str, Keys] = {
    "qwen2_moe_normed": {".expert_weights_norm": True, ".expert_gating_func": 1},
    "olmoe_normed": {".expert_weights_norm": True, ".expert_weights_scale": 1.0},
    "mixtral": {".expert_weights_norm": True, ".expert_group_count": 1},
}
"""What files say that others leave out."""
STACKED = [
    *("mixtral", "mixtral_sliding", "qwen2_moe", "qwen2_moe_normed", "qwen3_moe", "olmoe", "granitemoe"),
    "granitemoe_biases",
]
HIDDEN, INNER, EXPERTS = 256, 256, 3


def written(folder: Path, family: str, *, apart: bool = False, changed: Keys | None = None) -> GgufCheckpoint:
    keys = keys_of(family) | TOLD.get(family, {}) | (changed or {})
    path = folder / "m.gguf"
    return GgufCheckpoint(
        write_model(path, architecture_of(family), changed=keys, arrays=arrays_of(family, apart=apart))
    )


@pytest.mark.parametrize(("family", "apart"), [*((family, False) for family in STACKED), ("mixtral", True)])
def test_a_file_is_the_model_that_it_was_made_of(family: str, apart: bool, tmp_path: Path) -> None:
    checkpoint, made = written(tmp_path, family, apart=apart), golden(family)
    assert set(checkpoint.names) == set(made.checkpoint.names)
    for name in checkpoint.names:
        np.testing.assert_array_equal(checkpoint.weight(name).decode(), made.checkpoint.weight(name).decode())
    read, source = read_model(checkpoint.config), read_model(made.checkpoint.config)
    assert (read.dimensions, read.weights()) == (source.dimensions, source.weights())
    assert made.agrees(InterpreterBackend.load(checkpoint, CONFIG).forward(whole(made.tokens)))


def test_layers_without_a_router_are_dense(tmp_path: Path) -> None:
    """llama.cpp writes no such file of its own, and the tensors say all that is to know."""
    arrays, keys = arrays_of("qwen3_moe_mixed"), keys_of("qwen3_moe_mixed") | {".expert_weights_norm": False}
    assert not any(name.startswith("blk.0.") and "ffn_gate_inp" in name for name in arrays)
    made = golden("qwen3_moe_mixed")
    del keys[".attention.sliding_window"]  # a window of 5, as far as the first tokens see it
    path = write_model(tmp_path / "m.gguf", "qwen3moe", changed=keys, arrays=arrays)
    checkpoint = GgufCheckpoint(path)
    assert checkpoint.config["mlp_only_layers"] == [0]
    logits = InterpreterBackend.load(checkpoint, CONFIG).forward(whole(made.tokens[:5]))
    spread = float(made.logits.max() - made.logits.min())
    assert float(np.abs(logits - made.logits[:5]).max()) < 1e-4 * spread


def wide(architecture: str) -> tuple[Arrays, Keys]:
    """Names and shapes of one layer whose widths are whole super-blocks."""
    shapes: dict[str, tuple[int, ...]] = {
        "attn_norm": (HIDDEN,),
        "attn_q": (HIDDEN, HIDDEN),
        "attn_k": (HIDDEN // 2, HIDDEN),
        "attn_v": (HIDDEN // 2, HIDDEN),
        "attn_output": (HIDDEN, HIDDEN),
        "ffn_norm": (HIDDEN,),
        "ffn_gate_inp": (EXPERTS, HIDDEN),
        "ffn_gate_exps": (EXPERTS, INNER, HIDDEN),
        "ffn_up_exps": (EXPERTS, INNER, HIDDEN),
        "ffn_down_exps": (EXPERTS, HIDDEN, INNER),
    }
    if architecture == "qwen2moe":
        shapes |= {"ffn_gate_inp_shexp": (HIDDEN,), "ffn_down_shexp": (HIDDEN, INNER)}
        shapes |= {"ffn_gate_shexp": (INNER, HIDDEN), "ffn_up_shexp": (INNER, HIDDEN)}
    rng = np.random.default_rng(6)
    arrays = {f"blk.0.{name}.weight": shape for name, shape in shapes.items()}
    arrays |= {"token_embd.weight": (80, HIDDEN), "output_norm.weight": (HIDDEN,)}
    keys: Keys = {
        ".context_length": 128,
        ".embedding_length": HIDDEN,
        ".block_count": 1,
        ".feed_forward_length": INNER,
        ".attention.head_count": 4,
        ".attention.head_count_kv": 2,
        ".attention.layer_norm_rms_epsilon": 1e-5,
        ".expert_count": EXPERTS,
        ".expert_used_count": 2,
        ".expert_feed_forward_length": INNER,
    }
    drawn: Arrays = {name: rng.normal(1.0, 0.2, shape).astype(np.float32) for name, shape in arrays.items()}
    drawn["blk.0.ffn_gate_inp.weight"] -= 1.0
    return drawn, keys


def apart(arrays: Arrays) -> Arrays:
    given: Arrays = {}
    for name, values in arrays.items():
        if "_exps" in name:
            given |= {name.replace("_exps", f".{number}"): matrix for number, matrix in enumerate(values)}
        else:
            given[name] = values
    return given


Kind = Literal["Q8_0", "Q4_K"]


def same_bits(checkpoint: GgufCheckpoint) -> None:
    """The engine gives those of the interpreter, and not zeros."""
    batch = whole(np.random.default_rng(2).integers(0, 80, 9).astype(np.int32))
    expected = InterpreterBackend.load(checkpoint, CONFIG).forward(batch)
    assert np.isfinite(expected).all()
    assert float(expected.std()) > 0
    native = NativeBackend.load(checkpoint, NativeConfig(kv_tokens=128))
    np.testing.assert_array_equal(native.forward(batch), expected)


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_K"])
@pytest.mark.parametrize("form", ["llama", "llama apart", "qwen2moe"])
def test_blocks_run_as_they_are_and_give_the_bits_of_the_interpreter(form: str, kind: Kind, tmp_path: Path) -> None:
    architecture = form.split(maxsplit=1)[0]
    arrays, keys = wide(architecture)
    arrays = apart(arrays) if "apart" in form else arrays
    path = write_quantized(tmp_path / "m.gguf", architecture, keys, arrays, lambda _: kind)
    checkpoint = GgufCheckpoint(path)
    experts = [name for name in checkpoint.names if ".experts." in name]
    assert len(experts) == 3 * EXPERTS
    fields = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    for name in experts:
        weight = checkpoint.weight(name)
        assert isinstance(weight, GgufBlocks)
        assert weight.data.base is not None  # a view of the file
        assert weight.type_name == kind
    gate = checkpoint.weight(next(name for name in experts if "1.w1" in name or "1.gate_proj" in name))
    stored = "blk.0.ffn_gate.1.weight" if "apart" in form else "blk.0.ffn_gate_exps.weight"
    values = gguf.quants.dequantize(fields[stored].data, gguf.GGMLQuantizationType[kind])
    np.testing.assert_array_equal(gate.decode(), values if "apart" in form else values[1])
    same_bits(checkpoint)


@pytest.mark.parametrize("other", ["ffn_up_exps", "ffn_down_exps", "ffn_gate.1.", "ffn_down.2."])
def test_matrices_in_blocks_of_their_own_types(other: str, tmp_path: Path) -> None:
    """As mixes have it: a gate unlike its up, and an expert unlike the others of its layer."""
    arrays, keys = wide("llama")
    arrays = arrays if "exps" in other else apart(arrays)
    path = write_quantized(tmp_path / "m.gguf", "llama", keys, arrays, lambda name: "Q4_K" if other in name else "Q8_0")
    checkpoint = GgufCheckpoint(path)
    kinds = [weight.type_name for weight in map(checkpoint.weight, checkpoint.names) if isinstance(weight, GgufBlocks)]
    assert kinds.count("Q4_K") == (EXPERTS if "exps" in other else 1)
    same_bits(checkpoint)


REFUSED: dict[str, tuple[str, Keys, type[HonedError], str]] = {
    "a sigmoid that chooses": ("qwen3_moe", {".expert_gating_func": 2}, UnsupportedError, "expert_gating_func: is 2"),
    "scaled weights": ("olmoe", {".expert_weights_scale": 2.5}, UnsupportedError, "expert_weights_scale: is 2.5"),
    "groups": ("qwen3_moe", {".expert_group_count": 4}, UnsupportedError, "expert_group_count: is 4"),
    "weights that are never normed": (
        "mixtral",
        {".expert_weights_norm": False},
        UnsupportedError,
        "expert_weights_norm: is False, which this architecture never is",
    ),
    "another inner width": (
        "granitemoe",
        {".expert_feed_forward_length": 44},
        UnsupportedError,
        "expert_feed_forward_length: is 44, and feed_forward_length 88",
    ),
    "an MLP beside the experts": (
        "granitemoe",
        {".expert_shared_feed_forward_length": 64},
        UnsupportedError,
        "expert_shared_feed_forward_length: is 64",
    ),
    "several beside the experts": ("qwen2_moe", {".expert_shared_count": 2}, UnsupportedError, "shared_count: is 2"),
    "dense layers in front": ("olmoe", {".leading_dense_block_count": 1}, UnsupportedError, "dense_block_count: is 1"),
    "no number that is chosen": ("olmoe", {".expert_used_count": None}, FormatError, "expert_used_count: is missing"),
    "more than there are": ("mixtral", {".expert_used_count": 9}, FormatError, "expert_used_count: is 9, must be"),
    "too many": ("qwen3_moe", {".expert_count": 1 << 31}, FormatError, "expert_count: is 2147483648, must be"),
    "too many layers": ("qwen3_moe", {".block_count": 1 << 31}, FormatError, "num_hidden_layers: is 2147483648"),
    "no experts": ("olmoe", {".expert_count": 0}, FormatError, "expert_count: is 0, must be"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_computed_is_refused_by_name(case: str, tmp_path: Path) -> None:
    family, changed, error, said = REFUSED[case]
    with pytest.raises(error, match=said.replace(".", r"\.")) as raised:
        written(tmp_path, family, changed=changed)
    assert "m.gguf" in str(raised.value)
    assert len(str(raised.value)) < 500


def test_experts_of_a_llama_that_says_none(tmp_path: Path) -> None:
    none: Keys = {".expert_count": 0, ".expert_used_count": 0, ".expert_weights_norm": None}
    with pytest.raises(UnsupportedError, match=r"tensor 'blk\.0\.ffn_gate_inp\.weight': not part of a llama model"):
        written(tmp_path, "mixtral", changed=none)


def test_an_expert_that_is_missing(tmp_path: Path) -> None:
    arrays = arrays_of("mixtral", apart=True)
    del arrays["blk.1.ffn_up.3.weight"]
    with pytest.raises(FormatError, match=r"blk\.1\.ffn_up\.3|block_sparse_moe\.experts\.3?\.?w3\.weight: is missing"):
        GgufCheckpoint(write_model(tmp_path / "m.gguf", "llama", changed=keys_of("mixtral"), arrays=arrays))


def test_names_of_experts_that_lie_apart() -> None:
    mixtral = FAMILIES["mixtral"]
    assert (
        huggingface_name("blk.3.ffn_down.11.weight", mixtral) == "model.layers.3.block_sparse_moe.experts.11.w2.weight"
    )
    assert huggingface_name("blk.3.ffn_down.011.weight", mixtral) is None
    assert huggingface_name("blk.3.ffn_down.1.weight", FAMILIES["llama"]) is None
