"""generation_config.json: how a reply is sampled, and which tokens end it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from fuzzing.json_mutations import mutate_json
from fuzzing.target import Target
from fuzzing.word_tokenizer import write_word_tokenizer
from honed.api.defaults import read_defaults
from honed.checkpoints.huggingface.directory import Directory
from honed.checkpoints.huggingface.tokenizer import read_tokenizer


def read(data: bytes, folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    write_word_tokenizer(folder)
    (folder / "generation_config.json").write_bytes(data)
    read_defaults(folder)
    read_tokenizer(Directory(folder))


def seeds() -> Sequence[bytes]:
    sampled = {"do_sample": True, "temperature": 0.7, "top_k": 40, "top_p": 0.9, "min_p": 0.05}
    configs = [
        {**sampled, "repetition_penalty": 1.1, "eos_token_id": [1, 2], "bos_token_id": 1},
        {"eos_token_id": 2, "max_length": 100, "transformers_version": "4.40.0"},
    ]
    return [json.dumps(config).encode() for config in configs]


TARGET = Target("generation_config", read, seeds, mutate_json)
