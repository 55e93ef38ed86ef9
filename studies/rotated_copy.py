"""Writes a copy of a Llama model that computes the same function, and whose weights lie on no grid any more.

    python studies/rotated_copy.py MODEL DIRECTORY [SEED]

A file of 4 bits flatters whoever rounds to 4 bits again: its weights are there already. Here the residual stream is
turned by a random orthogonal matrix, folded into every matrix that reads or writes it, as RMSNorm with its weights
folded into what follows is not changed by it (Ashkboos et al. 2024, "SliceGPT"). The head is untied, since it takes the
weight of the last norm and the table does not. A second rotation gains little where one has been already.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from honed.checkpoints.artifact.tokenizer_files import tokenizer_files
from honed.checkpoints.open import open_checkpoint
from honed.checkpoints.safetensors.spec import TensorSpec
from honed.checkpoints.safetensors.writer import SafetensorsWriter

Wide = NDArray[np.float64]
READERS = {
    "input_layernorm": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "post_attention_layernorm": ("mlp.gate_proj", "mlp.up_proj"),
}
WRITERS = ("self_attn.o_proj", "mlp.down_proj")


def rotation(width: int, seed: int) -> Wide:
    """A random orthogonal matrix, uniformly distributed (Mezzadri 2007)."""
    q, r = np.linalg.qr(np.random.default_rng(seed).standard_normal((width, width)))
    return np.asarray(q * np.sign(np.diag(r)))


def rotated(model: str, seed: int) -> tuple[dict[str, object], dict[str, NDArray[np.float32]], dict[str, bytes]]:
    checkpoint = open_checkpoint(model)
    config = dict(checkpoint.config)
    if config["model_type"] != "llama" or config.get("attention_bias") or config.get("mlp_bias"):
        raise SystemExit(f"{model}: only Llama models without biases are rotated here")
    turn = rotation(config["hidden_size"], seed)

    def weight(name: str) -> Wide:
        return checkpoint.weight(f"{name}.weight").decode().astype(np.float64)

    made: dict[str, Wide] = {}
    table = weight("model.embed_tokens")
    head = table if config["tie_word_embeddings"] else weight("lm_head")
    made["model.embed_tokens.weight"] = table @ turn
    made["lm_head.weight"] = head * weight("model.norm") @ turn
    made["model.norm.weight"] = np.ones(len(turn))
    for layer in range(config["num_hidden_layers"]):
        place = f"model.layers.{layer}"
        for norm, readers in READERS.items():
            made[f"{place}.{norm}.weight"] = np.ones(len(turn))
            for reader in readers:
                made[f"{place}.{reader}.weight"] = weight(f"{place}.{reader}") * weight(f"{place}.{norm}") @ turn
        for writer in WRITERS:
            made[f"{place}.{writer}.weight"] = turn.T @ weight(f"{place}.{writer}")
    config |= {"tie_word_embeddings": False, "dtype": "float32"}
    return config, {name: values.astype(np.float32) for name, values in made.items()}, tokenizer_files(checkpoint)


def main() -> None:
    model, directory = sys.argv[1], Path(sys.argv[2])
    config, weights, files = rotated(model, int(sys.argv[3]) if len(sys.argv) > 3 else 0)
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    for name, data in files.items():
        (directory / name).write_bytes(data)
    specs = [TensorSpec(name, "F32", values.shape) for name, values in weights.items()]
    with SafetensorsWriter(directory / "model.safetensors", specs, {"format": "pt"}) as writer:
        for name, values in weights.items():
            writer.write(name, values)


if __name__ == "__main__":
    main()
