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
from honed.checkpoints.huggingface.checkpoint import Directory, HuggingFaceCheckpoint
from honed.encodings.base import Encoded
from honed.models.registry import read_model
from honed.ops.reference import GrowingStore, Reference, Rows
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
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
# Family -> model_type and what differs from SIZES. Widths are odd on purpose: no multiple of a tile.
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama2": ("llama", {"num_key_value_heads": 4}),
    "llama3": ("llama", {"rope_parameters": LLAMA3}),
    "llama_linear": ("llama", {"rope_parameters": {"rope_type": "linear", "rope_theta": 500.0, "factor": 2.0}}),
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
    "qwen2_sliding": (
        "qwen2",
        {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1, "tie_word_embeddings": True},
    ),
    "qwen3": ("qwen3", {"head_dim": 20}),
}
TOKENS = 41


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
    config = transformers.AutoConfig.for_model(kind, **{**SIZES, **settings}, attn_implementation="eager")
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
            is_linear = len(weight.shape) == 2 and "embed_tokens" not in name
            weights[name] = encode(name, weight) if is_linear else weight
        return MemoryCheckpoint(source.config, weights)

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
    weights = {name: torch.from_numpy(made.checkpoint.weight(name).decode().copy()) for name in model.weights()}
    store, logits, position = GrowingStore(), [], 0
    with torch.inference_mode():
        for tokens in steps:
            rows = Rows.single(torch.from_numpy(tokens), position)
            logits.append(model.forward(Reference(weights, rows, store)).numpy())
            position += len(tokens)
    return np.concatenate(logits)
