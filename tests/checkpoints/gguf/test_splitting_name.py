"""Names of how tokenizers split text, told from a tokenizer.json."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tokenizers import Tokenizer, models

from honed.checkpoints.gguf.pretokenizers import SPLITTINGS
from honed.checkpoints.gguf.splitting_name import names_alike, patterns_of, splitting_name


def document(name: str) -> Any:
    splitting = SPLITTINGS[name]
    fast = Tokenizer(models.BPE(ignore_merges=splitting.whole_words))
    fast.pre_tokenizer = splitting.pre_tokenizer()
    normalizer = splitting.normalizer()
    if normalizer is not None:
        fast.normalizer = normalizer
    return json.loads(fast.to_str())


@pytest.mark.parametrize("name", SPLITTINGS)
def test_every_splitting_is_told_from_its_document(name: str) -> None:
    found = splitting_name(document(name))
    assert found is not None
    one, other = SPLITTINGS[found], SPLITTINGS[name]
    assert (one.patterns, one.whole_words, one.nfc) == (other.patterns, other.whole_words, other.nfc)


def test_the_forms_of_other_libraries_are_told_too() -> None:
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
    digits = {"type": "Digits", "individual_digits": True}
    assert splitting_name({"pre_tokenizer": byte_level}) == "gpt-2"
    assert splitting_name({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [digits, byte_level]}}) == "smollm"
    assert patterns_of({"pre_tokenizer": None}) == ()


def test_what_nobody_has_named_has_no_name() -> None:
    split = {"type": "Split", "pattern": {"Regex": "[aeiou]"}}
    assert splitting_name({"pre_tokenizer": split}) is None
    assert names_alike({"pre_tokenizer": split}) == ()
