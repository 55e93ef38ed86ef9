"""The comparison loop on backends whose logits are known for every token and position."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from hash_backend import HashBackend
from honed.backends.base import Backend, Batch, PageGroup
from honed.errors import HonedError, ParameterError, UnsupportedError
from honed.evaluate.compare import compare
from honed.evaluate.windows import Window, cut_windows
from honed.runtime.engine import Engine
from honed.runtime.request import Request

VOCABULARY = 40
Rule = Callable[[NDArray[np.int32], NDArray[np.int32]], NDArray[np.float32]]


class KnownBackend:
    """Logits are a function of token and position; every batch is checked against the backend contract."""

    name = "known"

    def __init__(self, rule: Rule, *, pages: int = 8, context: int = 256, step_tokens: int = 64) -> None:
        self._rule = rule
        self.pages = pages
        self.page_groups = (PageGroup(pages),)
        self.context = context
        self.step_tokens = step_tokens
        self.vocabulary = VOCABULARY
        self.largest_rows = 0
        self._next_position = 0

    def forward(self, batch: Batch) -> NDArray[np.float32]:
        rows = len(batch.tokens)
        assert (
            batch.tokens.dtype == batch.positions.dtype == batch.selected.dtype == batch.page_tables.dtype == np.int32
        )
        assert rows <= self.step_tokens
        assert batch.page_tables.max() < self.pages
        start = int(batch.positions[0])
        assert start in (0, self._next_position), "a chunk continues its window or starts a new one"
        np.testing.assert_array_equal(batch.positions, np.arange(start, start + rows))
        assert batch.positions[-1] < 32 * batch.page_tables.shape[1]
        self._next_position = start + rows
        self.largest_rows = max(self.largest_rows, len(batch.selected))
        return self._rule(batch.tokens[batch.selected], batch.positions[batch.selected])


def flat(tokens: NDArray[np.int32], positions: NDArray[np.int32]) -> NDArray[np.float32]:
    return np.zeros((len(tokens), VOCABULARY), dtype=np.float32)


def successor(tokens: NDArray[np.int32], positions: NDArray[np.int32]) -> NDArray[np.float32]:
    """log 21 for the token after the given one, 0 for the 39 others: probability 21 / 60."""
    logits = np.zeros((len(tokens), VOCABULARY), dtype=np.float32)
    logits[np.arange(len(tokens)), (tokens + 1) % VOCABULARY] = math.log(21)
    return logits


def by_position(tokens: NDArray[np.int32], positions: NDArray[np.int32]) -> NDArray[np.float32]:
    """Agrees with `successor` at even positions, is flat at odd ones."""
    return np.where(positions[:, None] % 2 == 0, successor(tokens, positions), flat(tokens, positions))


def windows(count: int = 3, tokens: int = 100) -> list[Window]:
    ids = np.arange(count * tokens + 1) % VOCABULARY
    return cut_windows(ids.tolist(), window_tokens=tokens, windows=count)


def test_known_distributions_give_known_scores() -> None:
    scores = compare(KnownBackend(flat), KnownBackend(successor), windows())
    assert scores.divergence.shape == (3, 100)
    p = 21 / 60
    divergence = p * math.log(p * 40) + 39 * (1 / 60) * math.log(40 / 60)
    np.testing.assert_allclose(scores.divergence, divergence, rtol=1e-6)
    np.testing.assert_allclose(scores.reference_loss, -math.log(p), rtol=1e-6)
    np.testing.assert_allclose(scores.candidate_loss, math.log(40), rtol=1e-14)


def test_every_position_gets_its_own_score() -> None:
    scores = compare(KnownBackend(by_position), KnownBackend(successor), windows(tokens=101), step_rows=7)
    assert (scores.divergence[:, ::2] == 0).all()
    assert (scores.divergence[:, 1::2] > 0.1).all()
    assert scores.agreement[:, ::2].all()


def test_a_model_against_itself() -> None:
    scores = compare(KnownBackend(successor), KnownBackend(successor), windows())
    assert (scores.divergence == 0).all()
    assert scores.agreement.all()


def test_steps_change_nothing_and_bound_the_rows_held() -> None:
    whole = compare(KnownBackend(by_position), KnownBackend(successor), windows())
    small = KnownBackend(by_position, step_tokens=5)
    stepped = compare(small, KnownBackend(successor), windows())
    assert small.largest_rows == 5
    np.testing.assert_array_equal(whole.divergence, stepped.divergence)
    np.testing.assert_array_equal(whole.agreement, stepped.agreement)


def test_progress_ends_with_all_tokens() -> None:
    calls: list[tuple[int, int]] = []
    compare(KnownBackend(flat), KnownBackend(flat), windows(), progress=lambda done, total: calls.append((done, total)))
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})
    assert calls[-1] == (300, 300)


def test_rooms_are_checked_before_anything_runs() -> None:
    def refuse(tokens: NDArray[np.int32], positions: NDArray[np.int32]) -> NDArray[np.float32]:
        raise AssertionError("must not run")

    narrow = KnownBackend(refuse)
    narrow.vocabulary = 30
    cases: list[tuple[Backend, type[HonedError], str]] = [
        (KnownBackend(refuse, context=99), ParameterError, "at most 99, the context of the candidate"),
        (KnownBackend(refuse, pages=3), UnsupportedError, "needs 4 pages"),
        (narrow, UnsupportedError, "30 tokens and the reference 40"),
    ]
    for candidate, error, message in cases:
        with pytest.raises(error, match=message):
            compare(candidate, KnownBackend(refuse), windows())


def test_token_outside_the_vocabulary_is_named() -> None:
    text = [1, 2, 3, 45, 4]
    with pytest.raises(UnsupportedError, match="token 45"):
        compare(KnownBackend(flat), KnownBackend(flat), cut_windows(text, window_tokens=4))


def test_logits_that_are_not_finite_are_an_error() -> None:
    def broken(tokens: NDArray[np.int32], positions: NDArray[np.int32]) -> NDArray[np.float32]:
        logits = flat(tokens, positions)
        logits[positions == 70, 3] = np.nan
        return logits

    with pytest.raises(HonedError, match="candidate gives logits that are not finite at token 70 "):
        compare(KnownBackend(broken), KnownBackend(flat), windows())


def test_an_engine_does_not_believe_the_pages_that_were_written() -> None:
    """A comparison between two equal requests to a model that is open."""
    backend = HashBackend()
    engine = Engine(backend)
    request = Request(tuple(range(40)), 5)
    before = engine.generate([request])
    windows = cut_windows([number % 7 for number in range(129)], window_tokens=64)
    compare(backend, HashBackend(), windows)
    assert engine.generate([request]) == before
