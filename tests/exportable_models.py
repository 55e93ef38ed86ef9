"""Tiny random models with a tokenizer that a GGUF file can hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from byte_tokenizers import byte_tokenizer
from honed.checkpoints.sample_directory import write_sample
from honed.models.registry import FAMILIES
from honed.models.samples import sample_configs

VOCABULARY = 320


def write_tokenizer(folder: Path) -> None:
    """Of bytes, split as GPT-2 does."""
    document = json.loads(byte_tokenizer(words=("the", "Ġthe", "ing"), added=("<tool>",)).fast.to_str())
    document["pre_tokenizer"] = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": True,
    }
    (folder / "tokenizer.json").write_text(json.dumps(document))
    settings = {"eos_token": "<|end|>", "chat_template": "{{ messages[0]['content'] }}" + " " * 2000}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def sample(folder: Path, model_type: str, number: int = 0, **fields: Any) -> Path:
    config = {**sample_configs(FAMILIES[model_type])[number], "vocab_size": VOCABULARY, **fields}
    config = {name: value for name, value in config.items() if name not in ("bos_token_id", "eos_token_id")}
    made = write_sample(folder, FAMILIES[model_type], config)
    write_tokenizer(made)
    return made
