"""Writes a checkpoint of random weights into a new folder, with no library but the standard one:

    python scripts/tiny_checkpoint.py FOLDER

For trials of wheels, where nothing of the checkout may be imported and nothing is downloaded.
"""

from __future__ import annotations

import json
import random
import struct
import sys
from pathlib import Path

WORDS = ["<unk>", "</s>", *"the a of to and in is it you that he was for on are with".split()]
HIDDEN, INNER, HEADS, KV_HEADS = 32, 48, 4, 2


def shapes() -> dict[str, tuple[int, ...]]:
    """Of a Llama of one layer whose head is the table of its tokens."""
    keys = HIDDEN // HEADS * KV_HEADS
    rows = {"self_attn.q": HIDDEN, "self_attn.k": keys, "self_attn.v": keys, "self_attn.o": HIDDEN}
    rows |= {"mlp.gate": INNER, "mlp.up": INNER}
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (len(WORDS), HIDDEN), "model.norm.weight": (HIDDEN,)}
    found |= {f"model.layers.0.{part}_proj.weight": (count, HIDDEN) for part, count in rows.items()}
    found["model.layers.0.mlp.down_proj.weight"] = (HIDDEN, INNER)
    return found | {f"model.layers.0.{norm}_layernorm.weight": (HIDDEN,) for norm in ("input", "post_attention")}


def write(folder: Path) -> None:
    folder.mkdir(parents=True)
    vocabulary = {word: index for index, word in enumerate(WORDS)}
    tokenizer = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"},
    }
    config = {
        "model_type": "llama",
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "eos_token_id": 1,
        "vocab_size": len(WORDS),
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": 1,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5,
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "config.json").write_text(json.dumps(config))
    chance = random.Random(0)
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, shape in shapes().items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        values = struct.pack(f"<{count}f", *(chance.gauss(0, 1) for _ in range(count)))
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
