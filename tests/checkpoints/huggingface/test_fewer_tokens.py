"""Fewer tokens: texts whose tokens stay are cut as before, others in smaller pieces, and all of them come back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from tokenizers.processors import RobertaProcessing, TemplateProcessing

from byte_tokenizers import piece_tokenizer
from honed.checkpoints.huggingface.fewer_tokens import FewerTokens, files_with_fewer_tokens, renumbered_ids
from honed.checkpoints.huggingface.tokenizer_document import check_document
from honed.errors import UnsupportedError

TEXTS = [
    "the weights of a model are rows and columns, and the columns of a model are many",
    "whoever prunes a vocabulary reads the text that the model is to write, and no other",
    "a tokenizer merges bytes into pieces and pieces into words, one after the other",
]
OTHER = "zebras und Äpfel: 漢字 <|end|> rows"


def number_of(fast: Tokenizer, text: str) -> int:
    found = fast.token_to_id(text)
    assert isinstance(found, int)
    return found


def trained() -> Tokenizer:
    fast = Tokenizer(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    fast.train_from_iterator(TEXTS * 3, trainer)
    fast.add_special_tokens(["<|start|>"])  # behind all others
    end, start = number_of(fast, "<|end|>"), number_of(fast, "<|start|>")
    fast.post_processor = TemplateProcessing(
        single="<|start|> $A <|end|>", special_tokens=[("<|start|>", start), ("<|end|>", end)]
    )
    return fast


def fewer(fast: Tokenizer, texts: list[str]) -> tuple[Tokenizer, list[int]]:
    document = FewerTokens(json.loads(fast.to_str()))
    kept = document.needed({number for text in texts for number in fast.encode(text, add_special_tokens=False).ids})
    found = document.document(kept)
    check_document(found)
    return Tokenizer.from_str(json.dumps(found)), kept


def test_a_text_all_of_whose_tokens_stay_is_cut_as_before() -> None:
    fast = trained()
    small, kept = fewer(fast, TEXTS[:1])
    assert small.get_vocab_size() == len(kept) < fast.get_vocab_size() - 30
    before, after = fast.encode(TEXTS[0]), small.encode(TEXTS[0])
    assert after.tokens == before.tokens
    assert after.ids == [kept.index(number) for number in before.ids]
    assert after.tokens[0] == "<|start|>" and after.tokens[-1] == "<|end|>"


@pytest.mark.parametrize("text", [*TEXTS, OTHER])
def test_any_text_can_still_be_said(text: str) -> None:
    fast = trained()
    small, _ = fewer(fast, TEXTS[:1])
    ids = small.encode(text, add_special_tokens=False).ids
    assert small.decode(ids, skip_special_tokens=False) == text
    assert len(ids) >= len(fast.encode(text, add_special_tokens=False).ids)


def test_what_a_token_is_merged_of_stays() -> None:
    vocabulary = {text: number for number, text in enumerate(["a", "b", "c", "ab", "bc", "abc", "ca"])}
    merges = [["a", "b"], ["b", "c"], ["ab", "c"], ["c", "a"]]
    document: dict[str, Any] = {"model": {"type": "BPE", "vocab": vocabulary, "merges": merges}}
    assert FewerTokens(document).needed({5}) == [0, 1, 2, 3, 5]
    assert FewerTokens(document).needed(set()) == [0, 1, 2]
    # Older files have a merge as one string; a token that two merges make has the parts of both.
    document["model"]["merges"] = ["a b", "b c", "ab c", "a bc"]
    assert FewerTokens(document).needed({5}) == [0, 1, 2, 3, 4, 5, 6]  # no merge makes "ca", so it may stand in a text
    left = FewerTokens(document).document([0, 1, 2, 4])["model"]
    assert left["vocab"] == {"a": 0, "b": 1, "c": 2, "bc": 3}
    assert left["merges"] == [["b", "c"]]


def test_bytes_and_added_tokens_of_a_piece_tokenizer_stay() -> None:
    document = FewerTokens(json.loads(piece_tokenizer().fast.to_str()))
    kept = document.needed(set())
    small = Tokenizer.from_str(json.dumps(document.document(kept)))
    assert {"<s>", "</s>", "<unk>", "<0x00>", "<0xFF>", "▁"} <= small.get_vocab().keys()
    assert "▁a" not in small.get_vocab()
    assert small.decode(small.encode("a {ü}", add_special_tokens=False).ids) == "a {ü}"


def test_what_stands_around_a_text_is_renumbered_within_sequences_too() -> None:
    fast = trained()
    end, start = number_of(fast, "<|end|>"), number_of(fast, "<|start|>")
    fast.post_processor = RobertaProcessing(("<|end|>", end), ("<|start|>", start))
    small, kept = fewer(fast, TEXTS[:1])
    assert small.encode("rows").ids[0] == kept.index(start)
    document = json.loads(fast.to_str())
    document["post_processor"] = {"type": "Sequence", "processors": [document["post_processor"]]}
    found = FewerTokens(document).document(kept)["post_processor"]["processors"][0]
    assert found["cls"] == ["<|start|>", kept.index(start)]


def test_files_beside_a_model_name_the_new_numbers() -> None:
    fast = trained()
    _, kept = fewer(fast, TEXTS[:1])
    start = number_of(fast, "<|start|>")
    decoder = {"added_tokens_decoder": {str(start): {"content": "<|start|>"}}, "eos_token": "<|end|>"}
    files = {
        "tokenizer.json": fast.to_str().encode(),
        "vocab.json": b"{}",
        "generation_config.json": json.dumps({"eos_token_id": [0, start], "pad_token_id": -1, "top_k": start}).encode(),
        "tokenizer_config.json": json.dumps(decoder).encode(),
        "chat_template.jinja": b"{{ x }}",
    }
    found = files_with_fewer_tokens(files, kept)
    new = kept.index(start)
    assert sorted(found) == sorted(files.keys() - {"vocab.json"})
    assert json.loads(found["generation_config.json"]) == {"eos_token_id": [0, new], "pad_token_id": -1, "top_k": start}
    assert json.loads(found["tokenizer_config.json"])["added_tokens_decoder"] == {str(new): {"content": "<|start|>"}}
    assert Tokenizer.from_str(found["tokenizer.json"].decode()).token_to_id("<|start|>") == new
    assert found["chat_template.jinja"] == b"{{ x }}"
    assert renumbered_ids({"bos_token_id": None, "eos_token_id": 7, "width": 7}, {7: 2}) == {
        "bos_token_id": None,
        "eos_token_id": 2,
    }


@pytest.mark.parametrize("kind", ["WordPiece", "Unigram", "WordLevel"])
def test_tokenizers_that_do_not_merge_are_refused(kind: str) -> None:
    with pytest.raises(UnsupportedError, match=rf"of the kind .?{kind}.? cannot lose tokens here; supported is BPE"):
        FewerTokens({"model": {"type": kind, "vocab": {}}})
