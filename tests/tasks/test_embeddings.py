"""Embeddings over a backend whose rows are known: order, steps, pooling, prompts, cuts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.checkpoints.huggingface.sentence_files import SentenceSettings
from honed.errors import ParameterError, UnsupportedError
from honed.notes import HonedWarning
from honed.tasks.embeddings import WINDOW, Embedder, EmbedOptions, normalized, steps
from honed.text.encoder_input import EncoderInput
from honed.text.tokenizer import Tokenizer
from known_rows import KnownRows, tokenizer


def embedder(backend: KnownRows | None = None, settings: SentenceSettings | None = None) -> Embedder:
    return Embedder(backend or KnownRows(), tokenizer(), settings or SentenceSettings(), "tiny")


def test_the_mean_where_a_checkpoint_says_nothing() -> None:
    rows = embedder().embed(["a b", "h"])
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, np.array([[14 / 4, 0, 1.5], [16 / 3, 0, 1]], dtype=np.float32))


@pytest.mark.parametrize(("pooling", "ids"), [("cls", [2, 2]), ("last", [3, 3])])
def test_poolings_of_the_checkpoint_and_of_the_caller(pooling: str, ids: list[float]) -> None:
    said = embedder(settings=SentenceSettings(pooling=pooling)).embed(["a b", "h"])  # type: ignore[arg-type]
    asked = embedder().embed(["a b", "h"], EmbedOptions(pooling=pooling))  # type: ignore[arg-type]
    assert said[:, 0].tolist() == asked[:, 0].tolist() == ids


def test_normalized_as_the_checkpoint_or_the_caller_says() -> None:
    unit = embedder(settings=SentenceSettings(normalize=True))
    assert np.allclose(np.linalg.norm(unit.embed(["a", "b c"]), axis=1), 1)
    assert not np.allclose(np.linalg.norm(unit.embed(["a"], EmbedOptions(normalize=False)), axis=1), 1)
    assert np.allclose(np.linalg.norm(embedder().embed(["a"], EmbedOptions(normalize=True)), axis=1), 1)


def test_a_row_of_zeros_has_no_direction() -> None:
    np.testing.assert_array_equal(normalized(np.zeros((1, 4), dtype=np.float32)), np.zeros((1, 4)))


def test_order_is_kept_and_steps_are_full() -> None:
    backend = KnownRows()
    texts = [" ".join("abcdefgh"[: n % 8 + 1]) for n in range(100)]
    rows = embedder(backend).embed(texts)
    alone = np.concatenate([embedder().embed([text]) for text in texts])
    np.testing.assert_array_equal(rows, alone)
    assert len(backend.batches) < 32  # 650 tokens, 24 a step
    assert all(sorted(batch.lengths, reverse=True) == batch.lengths.tolist() for batch in backend.batches)


@given(st.lists(st.integers(0, 40), max_size=60), st.integers(1, 64))
@settings(deadline=None, max_examples=100, derandomize=True)
def test_each_text_is_in_one_step(lengths: list[int], most: int) -> None:
    found = list(steps(lengths, most))
    assert sorted(index for step in found for index in step) == list(range(len(lengths)))
    for step in found:
        assert len(step) == 1 or sum(lengths[index] for index in step) <= most


def test_no_texts() -> None:
    assert embedder().embed([]).shape == (0, 3)
    assert list(embedder().embed_iter([])) == []


def test_an_iterator_is_read_as_vectors_are_asked_for() -> None:
    taken: list[int] = []

    def texts() -> Iterator[str]:
        for number in range(3 * WINDOW):
            taken.append(number)
            yield "abcdefgh"[number % 8]

    vectors = embedder().embed_iter(texts())
    assert taken == []
    first = [next(vectors) for _ in range(WINDOW)]
    assert len(taken) == WINDOW
    assert first[1].shape == (3,)
    assert len(list(vectors)) == 2 * WINDOW
    np.testing.assert_array_equal(np.stack(first), embedder().embed(["abcdefgh"[n % 8] for n in range(WINDOW)]))


def test_pairs_have_types() -> None:
    backend = KnownRows()
    embedder(backend).embed([("a", "b")])
    assert backend.batches[0].tokens.tolist() == [2, 4, 3, 5, 3]
    assert backend.batches[0].types.tolist() == [0, 0, 0, 1, 1]
    with pytest.raises(UnsupportedError, match="gives a pair of texts 2 types of tokens, and the model has 1"):
        embedder(KnownRows(types=1)).embed([("a", "b")])
    embedder(KnownRows(types=0)).embed([("a", "b")])


def test_prompts_by_name() -> None:
    backend = KnownRows()
    said = SentenceSettings(prompts={"query": "query: ", "doc": "c "}, default_prompt="query")
    model = embedder(backend, said)
    assert model.prompts == ("query", "doc")
    for options in (EmbedOptions(), EmbedOptions(prompt="doc"), EmbedOptions(prompt="")):
        model.embed(["a"], options)
    assert [batch.tokens.tolist() for batch in backend.batches] == [[2, 12, 4, 3], [2, 6, 4, 3], [2, 4, 3]]
    with pytest.raises(ParameterError, match="prompt = 'title': must be one of query, doc"):
        model.embed(["a"], EmbedOptions(prompt="title"))
    with pytest.raises(ParameterError, match="this checkpoint has no prompts"):
        embedder().embed(["a"], EmbedOptions(prompt="query"))


def test_a_prompt_whose_rows_do_not_count_is_refused() -> None:
    said = SentenceSettings(prompts={"query": "query: "}, pools_prompt=False)
    assert embedder(settings=said).embed(["a"]).shape == (1, 3)
    with pytest.raises(UnsupportedError, match="leaves the rows of a prompt out when it pools"):
        embedder(settings=said).embed(["a"], EmbedOptions(prompt="query"))


def test_texts_that_are_too_long_are_cut_and_one_note_says_so() -> None:
    model = embedder(settings=SentenceSettings(limit=5))
    assert model.limit == 5
    with pytest.warns(HonedWarning, match="tiny: 2 of 3 texts are longer than 5 tokens and are cut there") as told:
        rows = model.embed(["a b c d", "a", "a b c e f g"])
        model.embed(["a b c d"])
    assert len(told) == 1
    np.testing.assert_array_equal(rows[0], rows[2])


def test_the_context_of_the_model_bounds_what_a_checkpoint_says() -> None:
    assert embedder(settings=SentenceSettings(limit=500)).limit == 12


@pytest.mark.parametrize("text", [3, None, b"a", ["a"], ("a", "b", "c"), ("a", 3)])
def test_what_is_no_text(text: object) -> None:
    with pytest.raises(ParameterError, match="must be a text"):
        embedder().embed([text])  # type: ignore[list-item]


def test_a_text_without_a_token() -> None:
    fast = tokenizer().fast
    fast.post_processor = None
    model = Embedder(KnownRows(), Tokenizer(fast=fast, end_tokens=frozenset()), SentenceSettings(), "tiny")
    with pytest.raises(ParameterError, match="holds no token"):
        model.embed([""])


def test_tokens_are_taken_as_they_are() -> None:
    model = embedder(settings=SentenceSettings(prompts={"query": "query: "}))
    given = EncoderInput.of_tokens([2, 4, 5, 3])
    rows = model.embed(["a b", given], EmbedOptions(prompt=""))
    np.testing.assert_array_equal(rows[0], rows[1])
    np.testing.assert_array_equal(model.embed([given], EmbedOptions(prompt="query")), rows[1:])
    with pytest.raises(ParameterError, match="texts = '13 tokens': must have at most 12"):
        model.embed([EncoderInput.of_tokens([4] * 13)])
    with pytest.raises(ParameterError, match="holds no token"):
        model.embed([EncoderInput.of_tokens([])])
