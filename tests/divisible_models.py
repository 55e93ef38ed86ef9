"""Tiny random checkpoints whose widths are whole groups, as transformers saves them, with a word tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing

from tiny_models import tiny_settings

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


def save_gemma3(directory: Path, **changes: Any) -> Path:
    """A Gemma 3 whose norms are not those that it begins with."""
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    torch.manual_seed(13)
    own = {"head_dim": 32, "sliding_window": 5, "sliding_window_pattern": 2, "query_pre_attn_scalar": 32}
    config = Gemma3TextConfig(**{**SIZES, "vocab_size": _save_tokenizer(directory), **own, **changes})
    model = Gemma3ForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(directory)
    return directory


def save_family(directory: Path, kind: str, **changes: Any) -> Path:
    """A model of any family of that size, float32, with what its config leaves out as transformers has it."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(13)
    fields = {**tiny_settings(kind, {}), "intermediate_size": 160, "vocab_size": _save_tokenizer(directory)}
    width = {"gpt2": "n_embd"}.get(kind, "hidden_size")
    fields |= {width: 64, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": None, **changes}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **fields))
    model.float().save_pretrained(directory)
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
