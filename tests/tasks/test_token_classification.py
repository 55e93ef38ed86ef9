"""Tokens, words and entities. That results are those of transformers is tested in
tests/api/pipelines/test_token_classification_pipeline.py; here is what transformers does not do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from honed.errors import ParameterError
from honed.tasks.token_classification import Aggregation, Entity, TaggedToken, TokenClassification
from honed.text.encoder_input import EncoderTexts
from honed.text.tokenizer import Tokenizer

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "ann", "lives", "in", "par", "##is", "cafe", "##s", "北", "京", "!"]
NAMED = {"ann": "B-PER", "par": "B-LOC", "##is": "I-LOC", "北": "B-LOC", "京": "I-LOC", "cafe": "B-LOC", "##s": "I-LOC"}


def wordpiece() -> Tokenizer:
    fast = FastTokenizer(models.WordPiece({word: i for i, word in enumerate(PIECES)}, unk_token="[UNK]"))
    fast.normalizer = normalizers.BertNormalizer(lowercase=True)
    fast.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    fast.decoder = decoders.WordPiece()
    fast.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return Tokenizer(fast=fast, end_tokens=frozenset(), special_tokens={"unk_token": "[UNK]"})


def bytes_of(*texts: str) -> Tokenizer:
    """Byte-level BPE without merges: every byte is a token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    fast = FastTokenizer(models.BPE({letter: i for i, letter in enumerate(["<s>", "</s>", *alphabet])}, []))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    fast.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)])
    return Tokenizer(fast=fast, end_tokens=frozenset())


def found(
    text: str,
    aggregation: Aggregation = "simple",
    *,
    tokenizer: Tokenizer | None = None,
    label: Any = None,
    **more: Any,
) -> list[Any]:
    """What comes of logits that are sure of NAMED, or of label(token)."""
    made = tokenizer or wordpiece()
    limit = more.pop("limit", 64)
    task = TokenClassification(EncoderTexts(made, limit), made, LABELS, aggregation=aggregation, **more)
    inputs = task.inputs(text)
    rows = []
    for window in inputs:
        logits = np.zeros((len(window.tokens), len(LABELS)), dtype=np.float32)
        for row, token in enumerate(window.tokens):
            spelled = made.fast.id_to_token(token)
            logits[row, LABELS.index(label(spelled) if label else NAMED.get(str(spelled), "O"))] = 9.0
        rows.append(logits[list(task.kept(window))])
    return task.result(text, inputs, rows)


def test_tokens_and_entities() -> None:
    tokens = found("Ann lives in Paris", "none")
    assert [(one.entity, one.word, one.start, one.end, one.index) for one in tokens] == [
        ("B-PER", "ann", 0, 3, 1),
        ("B-LOC", "par", 13, 16, 4),
        ("I-LOC", "##is", 16, 18, 5),
    ]
    assert isinstance(tokens[0], TaggedToken)
    assert tokens[0].score == pytest.approx(np.exp(9) / (np.exp(9) + 4), rel=1e-6)
    entities = found("Ann lives in Paris")
    assert [(one.entity_group, one.word, one.start, one.end) for one in entities] == [
        ("PER", "ann", 0, 3),
        ("LOC", "paris", 13, 18),
    ]
    assert isinstance(entities[0], Entity)
    assert len(found("Ann lives in Paris", ignored=())) == 3
    assert found("") == found("lives in") == []


@pytest.mark.parametrize("aggregation", ["simple", "first", "average", "max"])
def test_places_are_characters_of_the_text_in_any_language(aggregation: Aggregation) -> None:
    text = "\U0001f600 Cafe\u0301s 北京! \u05e9\u05dc\u05d5\u05dd Ann"  # an emoji, a combining accent, Hebrew
    spans = [(one.entity_group, text[one.start : one.end]) for one in found(text, aggregation)]
    assert spans == [("LOC", "Cafe\u0301s"), ("LOC", "北京"), ("PER", "Ann")]


@given(
    st.text(alphabet="a \u0301北京é\U0001f469\u200d\U0001f4bb\u05d0\u0e01.", max_size=24),
    st.sampled_from(["first", "max"]),
)
def test_bytes_of_one_character_are_never_parted(text: str, aggregation: Aggregation) -> None:
    """Of tokens that are bytes, each word covers whole characters, and all of them but spaces, each once."""
    tokenizer = bytes_of()
    words = found(text, aggregation, tokenizer=tokenizer, label=lambda _: "B-LOC", ignored=(), limit=2000)
    covered = [index for one in words for index in range(one.start, one.end)]
    assert covered == sorted(set(covered))
    assert set(covered) >= {index for index, letter in enumerate(text) if not letter.isspace()}
    assert not any(letter.isspace() for one in words for letter in text[one.start : one.end])


def test_scripts_without_spaces_have_a_word_a_token() -> None:
    tokenizer = bytes_of()
    words = found("北京 is ab", "first", tokenizer=tokenizer, label=lambda _: "B-LOC", ignored=())
    assert [(one.start, one.end) for one in words] == [(0, 1), (1, 2), (3, 5), (6, 8)]


def test_words_have_one_label() -> None:
    def label(token: str) -> str:
        return {"par": "B-LOC", "##is": "I-PER", "##s": "B-PER"}.get(token, "O")

    assert [one.entity_group for one in found("paris", label=label)] == ["LOC", "PER"]
    assert [(one.entity_group, one.start, one.end) for one in found("paris", "first", label=label)] == [("LOC", 0, 5)]
    made = wordpiece()
    scores = {
        "first": ([3.0, 2.0, 0, 0, 0], [0, 9.0, 0, 0, 0], "O"),
        "max": ([3.0, 2.0, 0, 0, 0], [0, 9.0, 0, 0, 0], "PER"),
        "average": ([3.0, 0, 0, 0, 0], [2.9, 2.9, 0, 0, 0], "O"),
    }
    for aggregation, (one, two, expected) in scores.items():
        task = TokenClassification(EncoderTexts(made, 9), made, LABELS, aggregation=aggregation, ignored=())  # type: ignore[arg-type]
        inputs = task.inputs("paris")
        (entity,) = task.result("paris", inputs, [np.array([one, two], dtype=np.float32)])
        assert isinstance(entity, Entity) and entity.entity_group == expected


@given(
    words=st.lists(st.sampled_from(["ann", "lives", "in", "paris", "北京", "cafes"]), max_size=60),
    limit=st.integers(8, 20),
    stride=st.integers(0, 5),
    aggregation=st.sampled_from(["none", "simple", "first"]),
)
def test_windows_give_what_one_would(words: list[str], limit: int, stride: int, aggregation: Aggregation) -> None:
    """As long as a token's scores do not depend on its window; names on an edge are one."""
    text = " ".join(words)
    assert found(text, aggregation, limit=limit, stride=stride) == found(text, aggregation, limit=500)


def test_what_is_no_text() -> None:
    made = wordpiece()
    with pytest.raises(ParameterError, match="must be a text"):
        TokenClassification(EncoderTexts(made, 9), made, LABELS).inputs(("a", "b"))  # type: ignore[arg-type]
