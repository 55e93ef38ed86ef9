"""Shapes of models that are made with random weights: a config of a family, and how large each of its weights is.

A shape is its config. The tensors are those that the files of its family have, so a shape of another family is a config
and a line in `SHAPES`. Not here: making the files (`synthetic.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honed.models.stored import Forms
from honed.ops.values import Weight

_ENDS_A_BRANCH = ("o_proj.weight", "down_proj.weight", "output_linear.weight")
"""What gives the sums that are added to the residual stream."""


@dataclass(frozen=True)
class Shape:
    """config: in the form of a Hugging Face config.json, of a family whose weights lie as (out, in)."""

    config: Mapping[str, Any]

    def tensors(self) -> Iterator[tuple[str, tuple[int, ...], float | None]]:
        """Name, shape and standard deviation of each tensor in the order of the model; None: all ones."""
        from honed.checkpoints.stored_forms import forms_of
        from honed.models.registry import read_model

        forms: Forms = forms_of(self.config, Path("synthetic"))
        seen: dict[str, Weight] = {}
        for name, weight in read_model(self.config, "synthetic").weights().items():
            tensor = forms[name].tensor if name in forms else weight
            seen.setdefault(tensor.name, tensor)
        for tensor in seen.values():
            yield tensor.name, tensor.shape, self._deviation(tensor)

    def _deviation(self, tensor: Weight) -> float | None:
        """A row of a matrix has length 1, so outputs have the size of inputs. What is added to the residual stream is
        divided by the square root of the number of additions (Radford et al. 2019), and what the model multiplies by
        is divided out: logits and scores of attention have a deviation near 1, as a trained model has them. A tied
        table counts little beside what is added to it, or else every token would be followed by itself.
        """
        if len(tensor.shape) == 1:
            return None
        given, name = self.config, tensor.name
        if name.endswith("embed_tokens.weight") and not given["tie_word_embeddings"]:
            return 1.0 / float(given.get("embedding_multiplier", 1.0))
        wide = 1 / math.sqrt(tensor.shape[-1])
        if name.endswith(("embed_tokens.weight", "lm_head.weight")):
            return wide * float(given.get("logits_scaling", 1.0))
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            usual = float(given["hidden_size"] // given["num_attention_heads"]) ** -0.5
            return wide * math.sqrt(usual / given.get("attention_multiplier", usual))
        if name.endswith(_ENDS_A_BRANCH):
            stream = given.get("embedding_multiplier", 1.0) * given.get("logits_scaling", 1.0)
            added = (stream if given["tie_word_embeddings"] else 1.0) / given.get("residual_multiplier", 1.0)
            branch: float = wide * (1 / math.sqrt(2 * given["num_hidden_layers"])) * added
            # Of experts the mean is taken, which is smaller than each by the square root of their number.
            return branch * math.sqrt(given["num_experts_per_tok"]) if len(tensor.shape) == 3 else branch
        return wide


def decoder(
    class_name: str,
    model_type: str,
    sizes: tuple[int, int, int, int, int, int],
    *,
    tied: bool,
    context: int = 4096,
    **more: Any,
) -> Shape:
    """sizes: hidden, layers, heads, KV heads, intermediate, vocabulary. context: what it says it was made for."""
    hidden, layers, heads, kv_heads, intermediate, vocabulary = sizes
    return Shape(
        {
            "architectures": [class_name],
            "model_type": model_type,
            "hidden_act": "silu",
            "hidden_size": hidden,
            "intermediate_size": intermediate,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": kv_heads,
            "head_dim": hidden // heads,
            "vocab_size": vocabulary,
            "max_position_embeddings": context,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "tie_word_embeddings": tied,
            "attention_bias": False,
            "mlp_bias": False,
            "bos_token_id": 0,
            "eos_token_id": 1,
            "torch_dtype": "bfloat16",
            **more,
        }
    )


def llama(*sizes: int, tied: bool, context: int = 4096) -> Shape:
    """sizes: as of `decoder`."""
    hidden, layers, heads, kv_heads, intermediate, vocabulary = sizes
    whole = (hidden, layers, heads, kv_heads, intermediate, vocabulary)
    return decoder("LlamaForCausalLM", "llama", whole, tied=tied, context=context)


def granite_moe(*sizes: int, experts: int, chosen: int, attention: float, context: int = 4096) -> Shape:
    """sizes: as of `decoder`, the intermediate one of an expert. The other multipliers are those of Granite 3.0."""
    hidden, layers, heads, kv_heads, intermediate, vocabulary = sizes
    return decoder(
        "GraniteMoeForCausalLM",
        "granitemoe",
        (hidden, layers, heads, kv_heads, intermediate, vocabulary),
        tied=True,
        context=context,
        num_local_experts=experts,
        num_experts_per_tok=chosen,
        embedding_multiplier=12.0,
        residual_multiplier=0.22,
        attention_multiplier=attention,
        logits_scaling=6.0,
    )


SHAPES = {
    "llama-1.1b": llama(2048, 22, 32, 4, 5632, 32000, tied=False),
    "llama-tiny": llama(64, 2, 4, 2, 160, 300, tied=True, context=512),
    # Granite 3.0 1B-A400M
    "granite-moe-1b": granite_moe(1024, 24, 16, 8, 512, 49155, experts=32, chosen=8, attention=0.015625),
    "granite-moe-tiny": granite_moe(64, 2, 4, 2, 64, 300, experts=6, chosen=2, attention=0.125, context=512),
}
"""Each with its sizes: hidden, layers, heads, KV heads, intermediate, vocabulary."""
