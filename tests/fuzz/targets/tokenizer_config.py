"""tokenizer_config.json: special tokens, the chat template's text, and what it says of the begin token."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from fuzzing.json_mutations import mutate_json
from fuzzing.target import Target
from fuzzing.word_tokenizer import write_word_tokenizer
from honed.checkpoints.huggingface.directory import Directory
from honed.checkpoints.huggingface.tokenizer import read_tokenizer


def read(data: bytes, folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    write_word_tokenizer(folder)
    (folder / "tokenizer_config.json").write_bytes(data)
    tokenizer = read_tokenizer(Directory(folder))
    tokenizer.decode(tokenizer.encode("<s> the quick brown"))


def seeds() -> Sequence[bytes]:
    added = {"1": {"content": "<s>", "lstrip": False, "special": True}, "2": {"content": "</s>", "special": True}}
    named = [{"name": "default", "template": "{{ messages }}"}, {"name": "tool_use", "template": "{{ tools }}"}]
    end = {"__type": "AddedToken", "content": "</s>", "lstrip": False}
    configs = [
        {"bos_token": "<s>", "eos_token": end, "added_tokens_decoder": added, "add_bos_token": True},
        {"eos_token": "</s>", "chat_template": named, "model_max_length": 1e30, "tokenizer_class": "LlamaTokenizer"},
        {"bos_token": None, "eos_token": "</s>", "chat_template": "{{ messages[0].content }}", "pad_token": "</s>"},
    ]
    return [json.dumps(config).encode() for config in configs]


TARGET = Target("tokenizer_config", read, seeds, mutate_json)
