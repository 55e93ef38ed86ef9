"""Tiny random checkpoints whose widths are whole groups, as transformers saves them, with a word tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing

WORDS = "the a of to and in is it you that he was for on are with as his they be at one have this from or had by hot"
SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def save_llama(directory: Path, dtype: torch.dtype = torch.float32, **changes: Any) -> Path:
    """A Llama with a tied head, float32 unless told otherwise."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(11)
    config = LlamaConfig(**{**SIZES, "vocab_size": _save_tokenizer(directory), "tie_word_embeddings": True, **changes})
    LlamaForCausalLM(config).to(dtype).save_pretrained(directory)
    return directory


def save_qwen2(directory: Path, **changes: Any) -> Path:
    """A Qwen2 in bfloat16 with biases and a head of its own."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(12)
    config = Qwen2Config(**{**SIZES, "vocab_size": _save_tokenizer(directory), "tie_word_embeddings": False, **changes})
    Qwen2ForCausalLM(config).to(torch.bfloat16).save_pretrained(directory)
    return directory


def _save_tokenizer(directory: Path) -> int:
    directory.mkdir(parents=True, exist_ok=True)
    vocabulary = {word: i for i, word in enumerate(["<unk>", "<s>", "</s>", *WORDS.split()])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.save(str(directory / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}",
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    return len(vocabulary)
