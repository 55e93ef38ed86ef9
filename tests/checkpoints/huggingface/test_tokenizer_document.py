"""Every field that may not be as it is, and that what published tokenizers have passes."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import pytest

from honed.checkpoints import synthetic
from honed.checkpoints.huggingface.tokenizer_document import DocumentError, check_document

BASE: dict[str, Any] = {
    "added_tokens": [{"id": 3, "content": "<s>", "special": True}],
    "normalizer": None,
    "pre_tokenizer": None,
    "post_processor": None,
    "decoder": None,
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]},
}
TEMPLATE: dict[str, Any] = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [3], "tokens": ["<s>"]}},
}


def changed(path: str, value: Any, base: dict[str, Any] = BASE) -> dict[str, Any]:
    document = copy.deepcopy(base)
    place: Any = document
    *names, last = path.split(".")
    for name in names:
        place = place[int(name) if name.isdecimal() else name]
    place[last] = value
    return document


def sequence(kind: str, steps: list[Any]) -> dict[str, Any]:
    return {"type": "Sequence", kind: steps}


def replace(old: str, new: str, kind: str = "String") -> dict[str, Any]:
    return {"type": "Replace", "pattern": {kind: old}, "content": new}


def charsmap(trie: bytes, rest: bytes, size: int | None = None) -> dict[str, Any]:
    data = (len(trie) if size is None else size).to_bytes(4, "little") + trie + rest
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(data).decode()}


def nested(depth: int) -> Any:
    step: Any = {"type": "NFC"}
    for _ in range(depth):
        step = sequence("normalizers", [step])
    return step


BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
REFUSED: list[tuple[str, Any, str]] = [
    ("normalizer", sequence("normalizers", [replace("a", "aa")] * 7), "normalizer: lets a text grow 128 times"),
    ("normalizer", replace("a", "x" * 100), "normalizer: lets a text grow 100 times"),
    ("normalizer", replace(".", "x" * 100, "Regex"), "normalizer: lets a text grow 100 times"),
    ("normalizer", replace("a", "x" * 5000), "normalizer.content: has 5000 characters"),
    ("normalizer", {"type": "Prepend", "prepend": "x" * 100}, "normalizer: lets a text grow 101 times"),
    ("normalizer", replace("", "x"), "normalizer.pattern.String: must be a text of 1"),
    ("normalizer", nested(5), "nested at most four deep"),
    ("normalizer", sequence("normalizers", [{"type": "NFC"}] * 33), "normalizer: has 33 steps"),
    ("normalizer", {"type": "Grow"}, "normalizer.type: 'Grow' is not known"),
    ("normalizer", sequence("normalizers", [{}]), r"normalizer.normalizers\[0\].type: None is not known"),
    ("normalizer", [1], "normalizer: must be an object"),
    ("normalizer", charsmap(b"\0" * 8, b"a\0", size=400), "trie of the size"),
    ("normalizer", charsmap(b"\0" * 8, b"a" * 300), "puts 300 bytes for a character"),
    ("normalizer", {"type": "Precompiled", "precompiled_charsmap": "!"}, "must be base64"),
    ("normalizer", {"type": "Precompiled", "precompiled_charsmap": 5}, "must be base64"),
    ("pre_tokenizer", sequence("pretokenizers", [BYTE_LEVEL] * 7), "pre_tokenizer: lets a text grow 128 times"),
    ("pre_tokenizer", {"type": "Split", "pattern": {"Regex": "x" * 20_000}}, "pre_tokenizer.pattern.Regex"),
    ("pre_tokenizer", {"type": "Metaspace", "replacement": "x" * 100}, "grow 100 times"),
    ("decoder", sequence("decoders", [replace("a", "aaaa")] * 4), "decoder: lets a text grow 256 times"),
    ("post_processor", {**TEMPLATE, "special_tokens": {}}, "post_processor.single: names '<s>'"),
    ("post_processor", changed("special_tokens.<s>.ids", [9], TEMPLATE), "'<s>' must have ids of the vocabulary"),
    ("post_processor", changed("special_tokens.<s>.ids", [3] * 65, TEMPLATE), "at most 64 tokens"),
    ("post_processor", changed("special_tokens.<s>.ids", [True], TEMPLATE), "must have ids"),
    ("post_processor", {**TEMPLATE, "single": TEMPLATE["single"] * 2}, "single: must hold 1 text"),
    ("post_processor", {**TEMPLATE, "single": []}, "single: must hold 1 text"),
    ("post_processor", {**TEMPLATE, "pair": TEMPLATE["pair"] * 40}, "pair: must be a list of at most 64"),
    ("post_processor", sequence("processors", [TEMPLATE, TEMPLATE]), "more than one step"),
    ("post_processor", {"type": "BertProcessing", "sep": ["b", 1], "cls": ["x", 77]}, "cls: .* must be a token"),
    ("added_tokens", {}, "added_tokens: must be a list"),
    ("added_tokens.0.id", -1, r"added_tokens\[0\].id"),
    ("added_tokens.0.id", 2**31, r"added_tokens\[0\].id"),
    ("added_tokens.0.id", True, r"added_tokens\[0\].id"),
    ("added_tokens.0.content", "x" * 5000, r"added_tokens\[0\].content: has 5000"),
    ("model", None, "model: must be an object"),
    ("model.type", "Trie", "model.type: 'Trie' must be one of"),
    ("model.vocab", 5, "model.vocab: must be an object"),
    ("model.vocab.b", 0, "model.vocab: the ids must be"),
    ("model.vocab.b", -1, "model.vocab: the ids must be"),
    ("model.vocab.b", 1.0, "model.vocab: the ids must be"),
    ("model.vocab", [["a", -1.0], ["b", float("inf")]], r"model.vocab\[1\]"),
    ("model.vocab", [["a"]], r"model.vocab\[0\]"),
    ("model.end_of_word_suffix", "x" * 5000, "model.end_of_word_suffix"),
    ("model.max_input_chars_per_word", 10**9, "model.max_input_chars_per_word"),
]


@pytest.mark.parametrize(("path", "value", "message"), REFUSED)
def test_refused(path: str, value: Any, message: str) -> None:
    with pytest.raises(DocumentError, match=message) as caught:
        check_document(changed(path, value))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("document", [None, [], 5, "x", {}])
def test_no_document(document: Any) -> None:
    with pytest.raises(DocumentError):
        check_document(document)


LLAMA2 = sequence("normalizers", [{"type": "Prepend", "prepend": "▁"}, replace(" ", "▁")])
ALBERT = sequence("normalizers", [replace("``", '"'), replace("''", '"'), {"type": "NFKD"}, {"type": "Lowercase"}])
T5 = sequence("normalizers", [charsmap(b"\0" * 1024, b"a\0bcd\0"), replace(" {2,}", "▁", "Regex")])
ACCEPTED: list[tuple[str, Any]] = [
    ("normalizer", LLAMA2),
    ("normalizer", ALBERT),
    ("normalizer", T5),
    ("normalizer", nested(3)),
    (
        "pre_tokenizer",
        sequence("pretokenizers", [{"type": "Digits"}, {"type": "Split", "pattern": {"Regex": r"\s+"}}, BYTE_LEVEL]),
    ),
    ("post_processor", TEMPLATE),
    ("post_processor", sequence("processors", [BYTE_LEVEL, TEMPLATE])),
    ("post_processor", {"type": "RobertaProcessing", "sep": ["b", 1], "cls": ["a", 0]}),
    (
        "decoder",
        sequence("decoders", [replace("▁", " "), {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip"}]),
    ),
    ("model.vocab", [["a", -1.0], ["b", 2]]),
    ("added_tokens", None),
]


@pytest.mark.parametrize(("path", "value"), ACCEPTED)
def test_accepted(path: str, value: Any) -> None:
    check_document(changed(path, value))


def test_whole_documents() -> None:
    check_document(BASE)
    check_document(json.loads(json.dumps(synthetic.tokenizer(300))))
