"""The native choice of tokens against `choose_row`, to the bit."""

from __future__ import annotations

from array import array
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from honed.backends.base import RowChoice
from honed.backends.token_pairs import TokenPairs
from honed.errors import HonedError, ParameterError
from honed.native import extension
from honed.runtime.request import Sampling
from honed.runtime.sampling import Sampler, choose_row
from logits_backend import LogitsBackend

VOCABULARIES = [1, 5, 33, 700, 5000]
BACKENDS = {(size, isa): LogitsBackend(size, 2, isa) for size in VOCABULARIES for isa in extension.isas()}


def logits_of(rng: np.random.Generator, rows: int, vocabulary: int) -> NDArray[np.float32]:
    """Of every kind that matters: peaked and flat, with ties, zeros of both signs, and values near the limits."""
    scale = rng.choice([0.01, 1, 4, 30, 1e37], size=(rows, 1))
    logits: NDArray[np.float32] = (rng.normal(size=(rows, vocabulary)) * scale).astype(np.float32)
    for row in range(rows):
        if rng.random() < 0.4:
            logits[row] = np.round(logits[row] / scale[row, 0]) * rng.choice([0.5, 1, -0.0])
    return logits


def some(rng: np.random.Generator, vocabulary: int, most: int = 40) -> list[int]:
    return [int(token) for token in rng.permutation(vocabulary)[: rng.integers(0, most + 1)]]


def random_choice(rng: np.random.Generator, vocabulary: int) -> RowChoice:
    def when(share: float) -> bool:
        return bool(rng.random() < share)

    mask = None
    if when(0.3):
        words = rng.integers(0, 2**32, size=rng.integers(0, (vocabulary + 31) // 32 + 2), dtype=np.uint32)
        mask = words if when(0.5) else words | (rng.random(words.size) < 0.7) * np.uint32(2**32 - 1)
        mask = mask.astype(np.uint32)
    counted = some(rng, vocabulary)
    dry = some(rng, vocabulary, 5)
    return RowChoice(
        mask=mask,
        banned=some(rng, vocabulary) if when(0.3) else (),
        bias=TokenPairs.floats((token, rng.uniform(-100, 100)) for token in some(rng, vocabulary)) if when(0.3) else (),
        seen=array("i", some(rng, vocabulary)) if when(0.3) else (),
        repetition_penalty=float(rng.choice([1.0, 1.1, 0.3, 10, 1e-30, 1e-60])),
        counts=TokenPairs(array("i", counted), array("i", [int(n) for n in rng.integers(1, 9, len(counted))]))
        if when(0.3)
        else (),
        presence_penalty=float(rng.uniform(-2, 2)),
        frequency_penalty=float(rng.uniform(-2, 2)),
        dry=[(token, float(rng.choice([0.5, 1e10, 1e30]))) for token in dry] if when(0.3) else (),
        temperature=float(rng.choice([0, 1e-300, 1e-3, 0.8, 1.0, 2.0])),
        top_k=int(rng.choice([0, 1, 7, 64, 900, 2**62])),
        top_p=float(rng.choice([1.0, 1.0, 0.95, 0.5, 1e-9, 1 - 2**-53])),
        min_p=float(rng.choice([0, 0, 0.05, 1.0])),
        uniform=float(rng.choice([0.0, rng.random(), 1 - 2**-53])),
        logprobs=int(rng.integers(0, 21)) if when(0.3) else None,
        score=int(rng.integers(0, vocabulary)) if when(0.1) else None,
    )


@settings(deadline=None, max_examples=150, derandomize=True)
@given(st.integers(0, 2**32), st.sampled_from(VOCABULARIES), st.sampled_from(extension.isas()))
def test_every_choice_is_that_of_the_reference(seed: int, vocabulary: int, isa: str) -> None:
    rng = np.random.default_rng(seed)
    logits = logits_of(rng, int(rng.integers(1, 9)), vocabulary)
    rows = [random_choice(rng, vocabulary) for _ in logits]
    backend = BACKENDS[vocabulary, isa]
    backend.compute(logits)
    for _ in range(2):  # the logits are still what they were
        for got, row, choice in zip(backend.choose(rows), logits, rows, strict=True):
            expected = choose_row(row, choice)
            assert (got.token, got.logprobs, str(got.error)) == (
                expected.token,
                expected.logprobs,
                str(expected.error),
            ), choice


@pytest.mark.parametrize("temperature", [0.0, 0.7])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_an_error_of_their_row(value: float, temperature: float) -> None:
    logits = np.zeros((3, 700), dtype=np.float32)
    logits[1, [17, 400]] = value
    backend = BACKENDS[700, extension.isas()[0]]
    backend.compute(logits)
    row = RowChoice(temperature=temperature)
    first, spoilt, last = backend.choose([row] * 3)
    assert first == last == choose_row(logits[0], row)
    assert (spoilt.token, type(spoilt.error)) == (-1, HonedError)
    assert str(spoilt.error) == str(choose_row(logits[1], row).error)
    assert f"2 of 700 are not finite, the first is {value} for token 17" in str(spoilt.error)


@pytest.mark.parametrize(
    "choice",
    [
        RowChoice(mask=np.zeros(22, dtype=np.uint32)),
        RowChoice(mask=np.zeros(0, dtype=np.uint32), temperature=1.0),
        RowChoice(banned=range(700)),
        RowChoice(mask=np.array([2], dtype=np.uint32), banned=[1], temperature=1.0),
    ],
)
def test_a_mask_that_allows_nothing_is_an_error_of_its_row(choice: RowChoice) -> None:
    logits = np.zeros((2, 700), dtype=np.float32)
    backend = BACKENDS[700, extension.isas()[0]]
    backend.compute(logits)
    stuck, other = backend.choose([choice, RowChoice()])
    assert (stuck.token, other.token) == (-1, 0)
    assert "leave no token" in str(stuck.error)
    assert str(stuck.error) == str(choose_row(logits[0], choice).error)


@pytest.mark.parametrize(
    "choice",
    [
        RowChoice(banned=[700]),
        RowChoice(bias=[(-1, 1.0)]),
        RowChoice(seen=array("i", [3, 1 << 20])),
        RowChoice(counts=[(700, 1)]),
        RowChoice(dry=[(700, 1.0)]),
        RowChoice(score=700),
    ],
)
def test_a_token_outside_the_vocabulary_is_an_error_of_its_row(choice: RowChoice) -> None:
    logits = np.zeros((2, 700), dtype=np.float32)
    backend = BACKENDS[700, extension.isas()[0]]
    backend.compute(logits)
    wrong, other = backend.choose([choice, RowChoice()])
    assert (wrong.token, other.token) == (-1, 0)
    assert isinstance(wrong.error, ParameterError)
    assert str(wrong.error) == str(choose_row(logits[0], choice).error)
    assert "must hold tokens from 0 to 699" in str(wrong.error)


def test_as_many_rows_as_were_computed_are_asked_for() -> None:
    backend = LogitsBackend(5)
    assert backend.choose([]) == []
    with pytest.raises(ValueError, match="choose: 1 rows: must be 0"):
        backend.choose([RowChoice()])
    backend.compute(np.zeros((2, 5), dtype=np.float32))
    with pytest.raises(ValueError, match="choose: 3 rows: must be 2"):
        backend.choose([RowChoice()] * 3)
    assert [choice.token for choice in backend.choose([RowChoice()] * 2)] == [0, 0]


@pytest.mark.parametrize(
    ("field", "value"),
    [("mask", [1]), ("mask", np.zeros(1)), ("seen", 3), ("bias", [1]), ("temperature", "hot"), ("top_k", 1.5)],
)
def test_fields_of_another_kind_are_refused(field: str, value: object) -> None:
    backend = LogitsBackend(5)
    backend.compute(np.zeros((1, 5), dtype=np.float32))
    with pytest.raises((TypeError, ValueError, BufferError)):
        backend.choose([replace(RowChoice(), **{field: value})])  # type: ignore[arg-type]
    assert backend.choose([RowChoice()])[0].token == 0


def test_the_rows_beside_one_change_nothing() -> None:
    rng = np.random.default_rng(5)
    logits = logits_of(rng, 40, 5000)
    rows = [replace(random_choice(rng, 5000), uniform=float(rng.random())) for _ in logits]
    together = LogitsBackend(5000, 3)
    together.compute(logits)
    alone = LogitsBackend(5000, 1)
    for row, expected in enumerate(together.choose(rows)):
        alone.compute(logits[row : row + 1])
        (found,) = alone.choose(rows[row : row + 1])
        assert (found.token, found.logprobs, str(found.error)) == (
            expected.token,
            expected.logprobs,
            str(expected.error),
        )


def test_drawn_tokens_follow_the_probabilities() -> None:
    """Chi square of 20,000 draws with a fixed seed over ten tokens, at 9 degrees of freedom: over 27.9 is one in a
    thousand."""
    logits = np.linspace(0, 2.5, 10, dtype=np.float32)
    probabilities = np.exp(logits / 0.8) / np.exp(logits / 0.8).sum()
    backend = LogitsBackend(10, 2)
    backend.compute(np.tile(logits, (50, 1)))
    sampler = Sampler(Sampling(temperature=0.8, seed=11), [])
    counts = np.zeros(10)
    for _ in range(400):
        rows = []
        for _ in range(50):
            rows.append(sampler.row())
            sampler.take(0)
        for choice in backend.choose(rows):
            counts[choice.token] += 1
    expected = probabilities * counts.sum()
    assert ((counts - expected) ** 2 / expected).sum() < 27.9
