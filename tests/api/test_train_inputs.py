"""Names of labels, which token a word's tag belongs to, and scores against formulas written out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from honed.api.labelled import LabelledText, TaggedWords
from honed.api.train_inputs import (
    Names,
    choose_names,
    class_examples,
    class_scores,
    sentences,
    several_scores,
    tag_examples,
    tag_scores,
    text_inputs,
    with_aims,
    with_rows,
)
from honed.checkpoints.huggingface.directory import Directory
from honed.checkpoints.huggingface.tokenizer import read_tokenizer
from honed.compress.training.examples import Example
from honed.errors import ParameterError
from honed.text.encoder_input import EncoderTexts
from tiny_encoders import with_tokenizer


@pytest.mark.parametrize(
    ("labels", "known", "asked", "names", "number"),
    [
        (["b", "a"], None, None, ("a", "b"), ("b", 1)),
        (["10", "9"], None, None, ("9", "10"), ("10", 1)),
        (["B-x", "O", "I-x"], None, None, ("O", "B-x", "I-x"), ("I-x", 2)),
        (["0", "1"], None, ["no", "yes"], ("no", "yes"), ("1", 1)),
        (["no"], None, ["yes", "no"], ("yes", "no"), ("no", 1)),
        (["1", "0"], ["neg", "pos"], None, ("neg", "pos"), ("1", 1)),
        (["pos"], ["neg", "pos", "mixed"], None, ("neg", "pos", "mixed"), ("pos", 1)),
        (["pos", "new"], ["neg", "pos"], None, ("new", "pos"), ("new", 0)),
    ],
)
def test_names(
    labels: list[str], known: list[str] | None, asked: list[str] | None, names: tuple[str, ...], number: tuple[str, int]
) -> None:
    found = choose_names(labels, known, asked)
    assert found.names == names
    assert found.of(number[0], "a file") == number[1]


def test_labels_that_are_not_known() -> None:
    with pytest.raises(ParameterError, match="the data has 'x' too"):
        choose_names(["a", "x"], None, ["a", "b"])
    with pytest.raises(ParameterError, match=r"label of dev.tsv = 'x': must be one of 'a', 'b'"):
        choose_names(["a", "b"], None, None).of("x", "dev.tsv")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> EncoderTexts:
    folder = with_tokenizer("bert", tmp_path_factory.mktemp("words") / "m")
    return EncoderTexts(read_tokenizer(Directory(folder)), 10)


def test_a_text_has_one_label_or_several(texts: EncoderTexts) -> None:
    names = Names(("x", "y", "z"), {"x": 0, "y": 1, "z": 2})
    one, some = LabelledText("the and", None, ("y",), False), LabelledText("to", "of", ("x", "z"), True)
    given = text_inputs(texts, [one, some])
    first, second = (class_examples([made], [row], names, "f")[0] for made, row in zip(given, (one, some), strict=True))
    assert first.targets.tolist() == [1]
    assert second.targets.tolist() == [1.0, 0.0, 1.0]
    assert second.types.tolist() == [0, 0, 0, 1, 1]
    assert first.tokens.tolist()[0] == 2  # what the tokenizer puts before a text


def test_a_word_has_its_tag_at_its_first_token(texts: EncoderTexts) -> None:
    row = TaggedWords(("the", "and", "of", "to", "in", "is", "it", "you", "that"), ("O",) * 8 + ("B-a",))
    names = Names(("O", "B-a"), {"O": 0, "B-a": 1})
    made = sentences(texts, [row])
    assert made[0].given.dropped == 1  # eight words and two tokens around them
    (example,) = tag_examples(made, [row], names, "f")
    assert example.places.tolist() == list(range(1, 9))
    assert example.targets.tolist() == [0] * 8
    rows = np.arange(20, dtype=np.float32).reshape(10, 2)
    np.testing.assert_array_equal(with_rows(example, rows).rows, rows[1:9])
    np.testing.assert_array_equal(with_aims(example, rows).aims, rows[1:9])


def test_rows_of_an_example() -> None:
    none, rows = np.zeros(0, np.int32), np.arange(6, dtype=np.float32).reshape(3, 2)
    ids = np.array([2, 3, 4], np.int32)
    text, empty = Example(ids, ids, none, np.zeros(1, np.int64)), Example(ids, ids, none, np.zeros(0, np.int64))
    np.testing.assert_array_equal(with_rows(text, rows).rows, rows[:1])
    np.testing.assert_array_equal(with_rows(empty, rows).rows, rows[:0])
    np.testing.assert_array_equal(with_aims(empty, rows).aims, rows[:0])


def test_words_of_several_tokens(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from tokenizers.processors import TemplateProcessing

    pieces = ["<s>", "a", "b", "##b", "##a", "c"]
    fast = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="<s>"))
    fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    folder = with_tokenizer("bert", tmp_path / "m")
    fast.save(str(folder / "tokenizer.json"))
    (made,) = sentences(
        EncoderTexts(read_tokenizer(Directory(folder)), 9), [TaggedWords(("abba", "c", "ab"), ("O", "O", "O"))]
    )
    assert made.words == ((0, 1), (1, 5), (2, 6))


def test_scores_of_classes() -> None:
    logits = [np.eye(3, dtype=np.float32)[[said]] for said in (0, 0, 1, 1)]
    scores = class_scores([0, 1, 1, 1], 3, logits)
    assert scores["accuracy"] == 0.75
    assert scores["macro F1"] == pytest.approx((2 / 3 + 4 / 5) / 2)  # nothing is said of the third label


def test_scores_of_several_labels() -> None:
    wanted = [np.array(row, np.float32) for row in ([1, 0], [1, 1], [0, 0])]
    logits = [np.array([row], np.float32) for row in ([2, -1], [-3, 0.5], [-1, 1])]
    assert several_scores(wanted, logits) == {"micro F1": pytest.approx(4 / 6), "all right": pytest.approx(1 / 3)}


def test_scores_of_tags_count_words_that_were_cut_off(texts: EncoderTexts) -> None:
    words = ("the", "and", "of", "to", "in", "is", "it", "you", "that")
    row = TaggedWords(words, ("B-a", *["O"] * 7, "B-a"))
    names = Names(("O", "B-a"), {"O": 0, "B-a": 1})
    made = sentences(texts, [row])
    logits = np.zeros((8, 2), np.float32)
    logits[0, 1] = 1
    scores = tag_scores(made, [row], names, [logits])
    assert scores == {
        "F1": pytest.approx(2 / 3),
        "precision": 1.0,
        "recall": 0.5,
        "accuracy": pytest.approx(8 / 9),
    }
