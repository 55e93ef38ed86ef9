"""Tiny random models of every family as transformers makes them, and a checkpoint in memory for tests of plans."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from honed.backends.base import PAGE_TOKENS, Batch
from honed.checkpoints.base import Kind
from honed.checkpoints.huggingface.checkpoint import HuggingFaceCheckpoint
from honed.checkpoints.huggingface.directory import Directory
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.encodings.tied_table import TiedTable
from honed.models.recorded import recorded
from honed.models.registry import read_model
from honed.ops.reference import GrowingStore, Rows, Step, run
from honed.text.tokenizer import Tokenizer

SIZES = {
    "vocab_size": 97,
    "hidden_size": 48,
    "intermediate_size": 88,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
GPT2_SIZES = {
    "vocab_size": "vocab_size",
    "hidden_size": "n_embd",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "max_position_embeddings": "n_positions",
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
LINEAR = {"rope_type": "linear", "rope_theta": 500.0, "factor": 2.0}
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 32}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0, 1.5, 2.0, 2.5, 3.0, 4.0],
    "long_factor": [2.0, 3.0, 4.0, 5.0, 6.0, 8.0],
    "original_max_position_embeddings": 64,
}
EXPERTS = {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 28}
GRANITE = {
    "embedding_multiplier": 12.0,
    "attention_multiplier": 0.0625,
    "residual_multiplier": 0.22,
    "logits_scaling": 8.0,
}
GPT_OSS: dict[str, Any] = {"num_local_experts": 5, "num_experts_per_tok": 2, "intermediate_size": 44}
UNPADDED: dict[str, Any] = {"pad_token_id": None}
"""Gradients of a padding token are zero in transformers."""
GLM = {**UNPADDED, "eos_token_id": [1, 2]}
SMOLLM3 = {**UNPADDED, "bos_token_id": 1, "eos_token_id": 2}
OLMOE = {"eos_token_id": 2}
CAPS = {"attn_logit_softcapping": 1.5, "final_logit_softcapping": 2.5}  # low enough to bend what tiny models give
NO_PAD = {"pad_token_id": None}  # for transformers gives the row of the default, 0, no gradient
BY_LAYER: dict[str, Any] = {
    "num_hidden_layers": 3,
    "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
    "sliding_window": 7,
    "rope_parameters": {
        "full_attention": {"rope_type": "linear", "rope_theta": 500.0, "factor": 8.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 30.0},
    },
}
# Family -> model_type and what differs from SIZES. Widths are odd on purpose: no multiple of a tile.
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama2": ("llama", {"num_key_value_heads": 4}),
    "llama3": ("llama", {"rope_parameters": LLAMA3}),
    "llama_linear": ("llama", {"rope_parameters": LINEAR}),
    "llama_yarn": ("llama", {"rope_parameters": YARN}),
    "llama_dynamic": ("llama", {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 500.0, "factor": 2.0}}),
    "llama_longrope": ("llama", {"rope_parameters": LONGROPE}),
    "llama_biases": ("llama", {"attention_bias": True, "mlp_bias": True, "hidden_act": "gelu_pytorch_tanh"}),
    "smollm2": (
        "llama",
        {
            "hidden_size": 54,
            "num_attention_heads": 9,
            "num_key_value_heads": 3,
            "intermediate_size": 110,
            "tie_word_embeddings": True,
        },
    ),
    "mistral": ("mistral", {"sliding_window": 7, "head_dim": 16}),
    "qwen2": ("qwen2", {}),
    "qwen2_yarn": ("qwen2", {"rope_parameters": {**YARN, "beta_fast": 4.0, "mscale": 0.7, "mscale_all_dim": 0.4}}),
    "qwen2_sliding": (
        "qwen2",
        {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1, "tie_word_embeddings": True},
    ),
    "qwen3": ("qwen3", {"head_dim": 20}),
    "mixtral": ("mixtral", {"num_local_experts": 5, "num_experts_per_tok": 2}),
    "mixtral_sliding": ("mixtral", {"num_local_experts": 3, "num_experts_per_tok": 3, "sliding_window": 6}),
    "qwen2_moe": ("qwen2_moe", {**EXPERTS, "shared_expert_intermediate_size": 40}),
    "qwen2_moe_normed": (
        "qwen2_moe",
        {**EXPERTS, "shared_expert_intermediate_size": 40, "norm_topk_prob": True, "qkv_bias": False},
    ),
    "qwen2_moe_mixed": (
        "qwen2_moe",
        {
            **EXPERTS,
            "shared_expert_intermediate_size": 36,
            "decoder_sparse_step": 2,
            "layer_types": ["sliding_attention", "full_attention"],
            "use_sliding_window": True,
            "sliding_window": 5,
        },
    ),
    "qwen3_moe": ("qwen3_moe", {**EXPERTS, "head_dim": 20, "norm_topk_prob": True}),
    "olmoe": ("olmoe", {"num_experts": 6, "num_experts_per_tok": 2, **OLMOE}),
    "olmoe_normed": (
        "olmoe",
        {"num_experts": 5, "num_experts_per_tok": 3, "norm_topk_prob": True, "attention_bias": True, **OLMOE},
    ),
    "granitemoe": ("granitemoe", {**GRANITE, "num_local_experts": 6, "num_experts_per_tok": 2}),
    "granitemoe_biases": (
        "granitemoe",
        {"num_local_experts": 4, "num_experts_per_tok": 1, "attention_bias": True, "tie_word_embeddings": True},
    ),
    "gpt_oss": ("gpt_oss", {**GPT_OSS, "head_dim": 16, "num_hidden_layers": 3, "sliding_window": 7}),
    "gpt_oss_yarn": (
        "gpt_oss",
        {
            **GPT_OSS,
            "head_dim": 12,
            "num_experts_per_tok": 1,
            "layer_types": ["full_attention", "sliding_attention"],
            "sliding_window": 5,
            "attention_bias": False,
            "tie_word_embeddings": True,
            "rope_parameters": {**YARN, "truncate": False, "rope_theta": 500.0, "beta_fast": 4.0},
        },
    ),
    "qwen3_moe_mixed": (
        "qwen3_moe",
        {
            **EXPERTS,
            "mlp_only_layers": [0],
            "attention_bias": True,
            "use_sliding_window": True,
            "sliding_window": 5,
            "tie_word_embeddings": True,
        },
    ),
    # The sizes of a Falcon 3, which says that it is a llama: heads of their own width, one KV head for many.
    "falcon3": ("llama", {"head_dim": 16, "num_key_value_heads": 1, "rope_parameters": {"rope_theta": 1000042}}),
    "granite": ("granite", GRANITE),
    "granite_biases": ("granite", {**GRANITE, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}),
    "granite_plain": ("granite", {"rope_parameters": YARN}),
    "olmo2": ("olmo2", UNPADDED),
    "olmo2_biases": (
        "olmo2",
        {**UNPADDED, "attention_bias": True, "num_key_value_heads": 4, "tie_word_embeddings": True},
    ),
    "cohere": ("cohere", UNPADDED),
    "cohere_biases": ("cohere", {**UNPADDED, "attention_bias": True, "tie_word_embeddings": False, "logit_scale": 1.0}),
    "cohere2": ("cohere2", {**UNPADDED, "sliding_window": 7, "num_hidden_layers": 5}),
    "cohere2_types": (
        "cohere2",
        {
            **UNPADDED,
            "sliding_window": 5,
            "layer_types": ["full_attention", "sliding_attention"],
            "attention_bias": True,
        },
    ),
    "glm": ("glm", {"head_dim": 20, **GLM}),
    "glm4": ("glm4", {"head_dim": 12, **GLM}),
    "glm4_partial": ("glm4", {"head_dim": 16, "partial_rotary_factor": 0.75, "attention_bias": False, **GLM}),
    "smollm3": ("smollm3", {"num_hidden_layers": 5, **SMOLLM3}),
    "smollm3_sliding": (
        "smollm3",
        {
            **SMOLLM3,
            "no_rope_layer_interval": 2,
            "use_sliding_window": True,
            "sliding_window": 6,
            "attention_bias": True,
            "mlp_bias": True,
            "tie_word_embeddings": False,
        },
    ),
    "smollm3_types": (
        "smollm3",
        {
            **SMOLLM3,
            "no_rope_layers": [0, 1],
            "layer_types": ["full_attention", "sliding_attention"],
            "use_sliding_window": True,
            "sliding_window": 4,
        },
    ),
    "gemma2": ("gemma2", {"head_dim": 20, "sliding_window": 7, "query_pre_attn_scalar": 24, **CAPS, **NO_PAD}),
    "gemma2_plain": (
        "gemma2",
        {
            **NO_PAD,
            "head_dim": 16,
            "layer_types": ["full_attention", "sliding_attention"],
            "sliding_window": 5,
            "attention_bias": True,
            "attn_logit_softcapping": None,
            "final_logit_softcapping": None,
            "tie_word_embeddings": False,
        },
    ),
    "gemma3": ("gemma3_text", {"head_dim": 20, **BY_LAYER, **NO_PAD}),
    "gemma3_capped": (
        "gemma3_text",
        {
            **NO_PAD,
            "head_dim": 16,
            "sliding_window": 5,
            "sliding_window_pattern": 2,
            "query_pre_attn_scalar": 24,
            "attention_bias": True,
            "final_logit_softcapping": 1.5,
            "rope_theta": 500.0,
            "rope_local_base_freq": 30.0,
        },
    ),
    "gpt2": ("gpt2", {}),
    "gpt2_variants": (
        "gpt2",
        {
            "n_inner": 88,
            "activation_function": "relu",
            "tie_word_embeddings": False,
            "scale_attn_by_inverse_layer_idx": True,
            "reorder_and_upcast_attn": True,
        },
    ),
    "gpt2_unscaled": ("gpt2", {"scale_attn_weights": False, "layer_norm_epsilon": 1e-3}),
    "gpt_neox": ("gpt_neox", {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}),
    "gpt_neox_sequential": (
        "gpt_neox",
        {
            "use_parallel_residual": False,
            "attention_bias": False,
            "hidden_act": "gelu_new",
            "tie_word_embeddings": True,
            "rope_parameters": {
                "rope_type": "linear",
                "rope_theta": 500.0,
                "factor": 2.0,
                "partial_rotary_factor": 1.0,
            },
        },
    ),
    "opt": ("opt", {"ffn_dim": 88, **UNPADDED}),
    "opt_350m": ("opt", {"ffn_dim": 88, **UNPADDED, "do_layer_norm_before": False, "word_embed_proj_dim": 26}),
    "opt_variants": (
        "opt",
        {
            **UNPADDED,
            "ffn_dim": 88,
            "enable_bias": False,
            "_remove_final_layer_norm": True,
            "activation_function": "gelu",
            "tie_word_embeddings": False,
        },
    ),
    "phi3": ("phi3", {"sliding_window": 7, "pad_token_id": None, "eos_token_id": None}),
    "phi3_longrope": (
        "phi3",
        {
            "num_key_value_heads": 4,
            "pad_token_id": None,
            "eos_token_id": None,
            "tie_word_embeddings": True,
            "original_max_position_embeddings": 64,
            "rope_parameters": {**LONGROPE, "short_factor": [1.0, 1.5, 2.0], "long_factor": [2.0, 3.0, 4.0]}
            | {"partial_rotary_factor": 0.5},
        },
    ),
    "starcoder2": ("starcoder2", {}),
    "starcoder2_variants": (
        "starcoder2",
        {
            "use_bias": False,
            "sliding_window": 7,
            "tie_word_embeddings": False,
            "norm_epsilon": 1e-3,
            "rope_parameters": LINEAR,
        },
    ),
}
TOKENS = 41
TABLES = ("embed_tokens", "embed_positions", "embed_in", ".wte.", ".wpe.")
TABLE, NORM = "model.embed_tokens.weight", "model.norm.weight"


@dataclass(frozen=True)
class Golden:
    """A saved model and its float32 logits [TOKENS, vocabulary] by transformers."""

    checkpoint: HuggingFaceCheckpoint
    tokens: NDArray[np.int32]
    logits: NDArray[np.float32]

    def agrees(self, logits: NDArray[np.float32]) -> bool:
        """Within 1e-4 of the spread of the logits."""
        spread = float(self.logits.max() - self.logits.min())
        return logits.shape == self.logits.shape and float(np.abs(logits - self.logits).max()) < 1e-4 * spread


@functools.cache
def golden(family: str) -> Golden:
    """Made once a process; biases and norm weights are random too, so that a forgotten one shows."""
    import transformers

    kind, settings = FAMILIES[family]
    torch.manual_seed(11)
    config = transformers.AutoConfig.for_model(kind, **tiny_settings(kind, settings), attn_implementation="eager")
    model = transformers.AutoModelForCausalLM.from_config(config).eval().float()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
            else:
                parameter.copy_(torch.randn_like(parameter) * 0.1)
        tokens = torch.randint(0, config.vocab_size, (1, TOKENS))
        logits = model(tokens).logits[0].numpy().copy()
    directory = _scratch() / family
    model.save_pretrained(directory)
    return Golden(HuggingFaceCheckpoint(Directory(directory)), tokens[0].numpy().astype(np.int32), logits)


def tiny_config(family: str) -> dict[str, Any]:
    """The config of one of `FAMILIES`."""
    kind, settings = FAMILIES[family]
    return {**tiny_settings(kind, settings), "model_type": kind}


def tiny_settings(kind: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a config of that size, as the family calls them."""
    sizes: Mapping[str, Any] = SIZES
    if kind == "gpt2":
        sizes = {own: SIZES[name] for name, own in GPT2_SIZES.items()}
    elif kind in ("gpt_neox", "opt"):
        sizes = {name: value for name, value in SIZES.items() if name != "num_key_value_heads"}
    return {**sizes, **settings}


@functools.cache
def _scratch() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="honed-tiny-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class MemoryCheckpoint:
    """Implements `honed.checkpoints.base.Checkpoint` over encodings in memory."""

    def __init__(self, config: Mapping[str, Any], weights: Mapping[str, Encoded], head: Encoded | None = None) -> None:
        self._config = config
        self._weights = weights
        self._head = head

    @staticmethod
    def encoding(source: HuggingFaceCheckpoint, encode: Callable[[str, Encoded], Encoded]) -> MemoryCheckpoint:
        """`source` with each matrix but the embedding table encoded by `encode(name, weight)`."""
        weights = {}
        for name in source.names:
            weight = source.weight(name)
            is_linear = len(weight.shape) == 2 and not any(table in name for table in TABLES)
            weights[name] = encode(name, weight) if is_linear else weight
        return MemoryCheckpoint(source.config, weights)

    @staticmethod
    def tying(source: HuggingFaceCheckpoint, encode: Callable[[str, Encoded], Encoded]) -> MemoryCheckpoint:
        """`source`, a tied model, with its table and head in one encoding; factors moved from the last norm into it."""
        weights = {name: source.weight(name) for name in source.names}
        table, norm = (weights[name].decode() for name in (TABLE, NORM))
        factors: NDArray[np.float32] = np.exp2(np.arange(table.shape[1]) % 5 - 2).astype(np.float32)
        head = encode(TABLE, Dense(table * factors, "float32"))
        undone: NDArray[np.float32] = np.reciprocal(factors)
        weights |= {TABLE: TiedTable(head, undone), NORM: Dense(norm * undone, "float32")}
        return MemoryCheckpoint(source.config, weights, head)

    def untying(self) -> MemoryCheckpoint:
        """The same model with the table in float32 beside the head."""
        table = Dense(self._weights[TABLE].decode(), "float32")
        return MemoryCheckpoint(self._config, {**self._weights, TABLE: table}, self._head)

    @property
    def kind(self) -> Kind:
        return "huggingface"

    @property
    def path(self) -> Path:
        return Path("memory")

    @property
    def config(self) -> Mapping[str, Any]:
        return self._config

    @property
    def files(self) -> tuple[Path, ...]:
        return ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._weights)

    def weight(self, name: str) -> Encoded:
        return self._weights[name]

    def head(self) -> Encoded | None:
        return self._head

    def tokenizer(self) -> Tokenizer:
        raise KeyError("a checkpoint in memory has no tokenizer")


def whole(tokens: NDArray[np.int32], *, first: int = 0, pages: tuple[int, ...] = (3, 1)) -> Batch:
    """One sequence from position `first`, logits of every token, on pages that are not in order."""
    count = len(tokens)
    assert first + count <= len(pages) * PAGE_TOKENS
    return Batch(
        tokens=np.ascontiguousarray(tokens, dtype=np.int32),
        positions=np.arange(first, first + count, dtype=np.int32),
        sequences=np.zeros(count, dtype=np.int32),
        page_tables=np.array([pages], dtype=np.int32),
        selected=np.arange(count, dtype=np.int32),
    )


def reference_whole(made: Golden) -> NDArray[np.float32]:
    """Logits of all tokens by the torch reference, in one step."""
    return _reference(made, [made.tokens])


def reference_by_steps(made: Golden) -> NDArray[np.float32]:
    """Logits of all tokens by the torch reference, one token a step."""
    return _reference(made, np.split(made.tokens, TOKENS))


def _reference(made: Golden, steps: list[NDArray[np.int32]]) -> NDArray[np.float32]:
    model = read_model(made.checkpoint.config, made.checkpoint.path)
    graph = recorded(model)
    weights = {name: torch.from_numpy(made.checkpoint.weight(name).decode().copy()) for name in graph.weights()}
    store, logits, position = GrowingStore(), [], 0
    with torch.inference_mode():
        for tokens in steps:
            rows = Rows.single(torch.from_numpy(tokens), position)
            logits.append(run(graph, Step(weights, rows, store))["logits"].numpy())
            position += len(tokens)
    return np.concatenate(logits)
