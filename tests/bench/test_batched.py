"""Texts in batches: of what lengths, and that answers are in the order of the texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from honed.bench.encoders.batched import BatchedRunner, batched, open_runner
from honed.bench.encoders.contender import EncodeContender
from honed.bench.encoders.workload import EncodeWorkload

TEXTS = ([5], [1, 2, 3], [7, 7], [9, 9, 9, 9], [4])


class Summing:
    """Gives each text its length and the sum of its ids, and keeps what batches it was given."""

    isa, dtype = "known", "int8"

    def __init__(self) -> None:
        self.given: list[list[int]] = []

    def encode(self, texts: Sequence[Sequence[int]]) -> Any:
        self.given.append([len(text) for text in texts])
        return [(len(text), sum(text)) for text in texts]

    def numbers(self, vectors: Any) -> list[list[float]]:
        return [list(vector) for vector in vectors]


def open_summing(arguments: Mapping[str, Any]) -> Summing:
    assert arguments == {"file": "a"}
    return Summing()


@pytest.mark.parametrize(("batch", "given"), [(2, [[4, 3], [2, 1], [1]]), (8, [[4, 3, 2, 1, 1]])])
def test_longest_first_and_answers_in_the_order_of_the_texts(batch: int, given: list[list[int]]) -> None:
    runner = Summing()
    whole = BatchedRunner(runner, batch)
    found = whole.numbers(whole.encode(TEXTS))
    assert found == [[len(text), sum(text)] for text in TEXTS]
    assert runner.given == given
    assert (whole.isa, whole.dtype) == ("known", "int8")


def test_a_contender_is_opened_as_it_was() -> None:
    contender = EncodeContender(
        "own", "m", "test_batched:open_summing", {"file": "a"}, tuple(map(tuple, TEXTS)), None, EncodeWorkload()
    )
    made = batched(contender, 3)
    assert made.texts == contender.texts
    whole = open_runner(made.arguments)
    assert whole.numbers(whole.encode(TEXTS))[1] == [3, 6]
