"""tokenizer.json: parsing it, and its first use on a prompt."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from fuzzing.json_mutations import change_tree, mutate_json
from fuzzing.target import Target
from fuzzing.word_tokenizer import word_tokenizer
from honed.checkpoints.huggingface.directory import Directory
from honed.checkpoints.huggingface.tokenizer import read_tokenizer
from honed.text.detokenizer import Detokenizer

_PROMPT = "<s>The quick brown fox jumps over 12 lazy dogs, naïve 你好 🙂\n\n  " + "the end " * 20

_MANY = 100_000_000


def _steps(kind: str, steps: list[Any]) -> dict[str, Any]:
    return {"type": "Sequence", kind: steps}


def _replace(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


_GROWS = [_replace({"String": "e"}, "e" * 50)] * 4
_PAD = {"direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "<s>"}
_TEMPLATE = {"Sequence": {"id": "A", "type_id": 0}}
# Parts of a tokenizer that published files have, and that small changes make expensive, random or endless.
_PARTS: list[tuple[str, list[Any]]] = [
    ("truncation", [{"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}]),
    ("truncation", [{"direction": "Left", "max_length": 4, "strategy": "OnlyFirst", "stride": 4}]),
    (
        "padding",
        [{"strategy": {"Fixed": size}, **_PAD} for size in (8, _MANY)] + [{"strategy": "BatchLongest", **_PAD}],
    ),
    ("padding", [{"strategy": "BatchLongest", **_PAD, "pad_to_multiple_of": _MANY}]),
    ("dropout", [0.5, 1.0, -1.0, 2]),
    ("normalizer", [_steps("normalizers", _GROWS), {"type": "Prepend", "prepend": "a" * 100_000}]),
    ("normalizer", [_replace({"Regex": "(e|e)*z"}, ""), _replace({"Regex": "(?:.?){30}x"}, "y"), {"type": "NFKD"}]),
    ("normalizer", [_replace({"Regex": "(.*)*(.*)*(.*)*x"}, ""), _replace({"String": ""}, "ab")]),
    ("normalizer", [{"type": "Precompiled", "precompiled_charsmap": "AAAA"}, {"type": "StripAccents"}]),
    ("pre_tokenizer", [{"type": "Split", "pattern": {"Regex": "(a|a)*b"}, "behavior": "Isolated", "invert": False}]),
    ("pre_tokenizer", [{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}]),
    ("pre_tokenizer", [{"type": "BertPreTokenizer"}, {"type": "UnicodeScripts"}, {"type": "Whitespace"}]),
    ("pre_tokenizer", [{"type": "FixedLength", "length": 0}, {"type": "CharDelimiterSplit", "delimiter": "e"}]),
    ("decoder", [{"type": "WordPiece", "prefix": "##", "cleanup": True}, {"type": "CTC"}, {"type": "BPEDecoder"}]),
    ("decoder", [{"type": "Strip", "content": "e", "start": _MANY, "stop": _MANY}, _replace({"Regex": "(e|e)*z"}, "")]),
    (
        "post_processor",
        [{"type": "TemplateProcessing", "single": [_TEMPLATE] * 3, "pair": [_TEMPLATE], "special_tokens": {}}],
    ),
    ("post_processor", [{"type": "BertProcessing", "sep": ["</s>", 999_999], "cls": ["<s>", 1]}]),
    ("model", [{"type": "Unigram", "unk_id": 9, "vocab": [["<unk>", 0.0], ["e", -1.0]], "byte_fallback": False}]),
    ("model", [{"type": "WordPiece", "unk_token": "?", "vocab": {"e": 0}, "continuing_subword_prefix": "##"}]),
    ("added_tokens", [[{"id": 2**32 - 1, "content": "e", "special": True}], [{"id": 1, "content": ""}]]),
]


def read(data: bytes, folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "llama", "eos_token_id": 2}')
    (folder / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    (folder / "tokenizer_config.json").write_text('{"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": true}')
    (folder / "tokenizer.json").write_bytes(data)
    tokenizer = read_tokenizer(Directory(folder))
    ids = tokenizer.encode(_PROMPT)
    tokenizer.decode(ids, skip_special=False)
    stream = Detokenizer(tokenizer.decoding)
    for token in ids:
        stream.feed(token)
    stream.finish()


def _byte_level() -> str:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(["<s>", "</s>", *alphabet, "th", "the", "Ġq"])}
    merges = [("t", "h"), ("th", "e"), ("Ġ", "q")]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer.add_special_tokens([AddedToken("<s>", special=True), AddedToken("</s>", special=True)])
    tokenizer.enable_truncation(max_length=512)
    return str(tokenizer.to_str())


def _pieces() -> str:
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *"▁abcdefgh", "▁a", "ab"]
    vocabulary = {token: index for index, token in enumerate(names)}
    model = models.BPE(
        vocab=vocabulary, merges=[("▁", "a"), ("a", "b")], unk_token="<unk>", byte_fallback=True, fuse_unk=True
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    return str(tokenizer.to_str())


def seeds() -> Sequence[bytes]:
    return [json.dumps(json.loads(text)).encode() for text in (word_tokenizer(), _byte_level(), _pieces())]


def mutate(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """Half of them get a part that other files have, or have one of theirs made worse."""
    try:
        document = json.loads(data)
        section, values = chance.choice(_PARTS)
        if chance.random() < 0.5 and isinstance(document, dict):
            value = json.loads(json.dumps(chance.choice(values)))
            (document["model"] if section == "dropout" else document)[section] = (
                change_tree(value, chance) if chance.random() < 0.5 else value
            )
            return json.dumps(document).encode()
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    return mutate_json(data, chance, others)


TARGET = Target("tokenizer_json", read, seeds, mutate, cost=8)
