"""The files of an artifact beside config and weights: those of the tokenizer and of generation, so that transformers'
AutoTokenizer gives the same ids, and what an encoder says of its pooling.

From a directory they are copied byte for byte; from a GGUF file, or where a directory has Mistral's tekken.json alone,
they are written out. Reading them back is in
`huggingface/tokenizer.py` and `huggingface/sentence_files.py`.
"""

from __future__ import annotations

import json
from typing import Any

from tokenizers import Tokenizer as FastTokenizer
from tokenizers.processors import TemplateProcessing

from honed.checkpoints.base import Checkpoint
from honed.checkpoints.huggingface.directory import Directory
from honed.checkpoints.huggingface.sentence_files import sentence_files
from honed.checkpoints.json_files import read_bytes
from honed.models.registry import is_encoder
from honed.text.tokenizer import Tokenizer

COPIED = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "generation_config.json",
)


def copied_names(checkpoint: Checkpoint) -> tuple[str, ...]:
    """What is copied of a directory, as far as it is there. Errors: those of reading what an encoder says."""
    return (*COPIED, *sentence_files(checkpoint)) if is_encoder(checkpoint.config) else COPIED


def tokenizer_files(checkpoint: Checkpoint) -> dict[str, bytes]:
    """File names and contents. Errors: those of reading the checkpoint's tokenizer."""
    tokenizer = checkpoint.tokenizer()
    if checkpoint.path.is_dir():
        directory = Directory(checkpoint.path)
        members = {name: directory.member(name) for name in copied_names(checkpoint)}
        copied = {name: read_bytes(path) for name, path in members.items() if path is not None}
        return copied if "tokenizer.json" in copied else {**_written(tokenizer), **copied}
    return _written(tokenizer)


def _written(tokenizer: Tokenizer) -> dict[str, bytes]:
    return {
        "tokenizer.json": _with_begin_token(tokenizer).to_str(pretty=False).encode(),
        "tokenizer_config.json": _json(_tokenizer_config(tokenizer)),
        "generation_config.json": _json(_generation_config(tokenizer)),
    }


def _with_begin_token(tokenizer: Tokenizer) -> FastTokenizer:
    """transformers puts the begin token first only where the post-processor does."""
    begin = tokenizer.begin_token
    if not tokenizer.adds_begin_token or begin is None or tokenizer.fast.post_processor is not None:
        return tokenizer.fast
    copy = FastTokenizer.from_str(tokenizer.fast.to_str())
    text = copy.id_to_token(begin)
    copy.post_processor = TemplateProcessing(
        single=[text, "$A"], pair=[text, "$A", text, "$B:1"], special_tokens=[(text, begin)]
    )
    return copy


def _tokenizer_config(tokenizer: Tokenizer) -> dict[str, Any]:
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "add_bos_token": tokenizer.adds_begin_token,
        **tokenizer.special_tokens,
    }
    if tokenizer.chat_template is not None:
        config["chat_template"] = tokenizer.chat_template
    return config


def _generation_config(tokenizer: Tokenizer) -> dict[str, Any]:
    config: dict[str, Any] = {"eos_token_id": sorted(tokenizer.end_tokens)}
    if tokenizer.begin_token is not None:
        config["bos_token_id"] = tokenizer.begin_token
    if "pad_token" in tokenizer.special_tokens:
        config["pad_token_id"] = tokenizer.fast.token_to_id(tokenizer.special_tokens["pad_token"])
    return config


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
