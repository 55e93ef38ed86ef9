"""The smallest tokenizer of a directory, for targets that attack another file of it."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers


def word_tokenizer() -> str:
    vocabulary = {word: index for index, word in enumerate(["<unk>", "<s>", "</s>", "the", "quick", "brown", "fox"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    return str(tokenizer.to_str())


def write_word_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text(word_tokenizer())
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
