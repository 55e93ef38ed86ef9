from __future__ import annotations

from array import array

import numpy as np
import pytest

from honed.runtime.batch import Chunk, make_batch
from honed.runtime.request import GREEDY, Request
from honed.runtime.sampling import Sampler
from honed.runtime.sequence import Sequence, WindowPages


def sequence(prompt: int, generated: int, computed: int, pages: list[int]) -> Sequence:
    tokens = list(range(100, 100 + prompt + generated))
    request = Request(tuple(tokens[:prompt]), 50, prompt_logprobs=0)
    made = Sequence(0, request, 50, Sampler(GREEDY, ()), tokens, computed=computed, pages=array("i", pages))
    made.scored = min(computed, prompt - 1)
    return made


def test_rows_of_all_kinds() -> None:
    decoding = Chunk(sequence(3, 2, 4, [7]), 1)
    proposing = Chunk(sequence(3, 2, 4, [8]), 1, (5, 6))
    prompt = Chunk(sequence(40, 0, 30, [2, 3]), 4)
    scoring = Chunk(sequence(6, 0, 2, [4]), 4, scored=range(3))
    batch = make_batch([decoding, proposing, prompt, scoring]).as_arrays()
    assert batch.tokens.tolist() == [104, 104, 5, 6, 130, 131, 132, 133, 102, 103, 104, 105]
    assert batch.positions.tolist() == [4, 4, 5, 6, 30, 31, 32, 33, 2, 3, 4, 5]
    assert batch.sequences.tolist() == [0, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]
    assert batch.page_tables.tolist() == [[7, 0], [8, 0], [2, 3], [4, 0]]
    assert batch.selected.tolist() == [0, 1, 2, 3, 8, 9, 10, 11]
    assert [chunk.selected for chunk in (decoding, proposing, prompt, scoring)] == [1, 3, 0, 4]
    assert [chunk.completes for chunk in (decoding, proposing, prompt, scoring)] == [True, True, False, True]
    assert {array.dtype for array in vars(batch).values()} == {np.dtype(np.int32)}


def test_one_row_of_a_prompt() -> None:
    plain, scored = sequence(9, 0, 2, [1]), sequence(9, 0, 2, [1])
    batch = make_batch([Chunk(plain, 1), Chunk(scored, 1, scored=range(1))])
    assert batch.selected.tolist() == [1]
    assert batch.tokens.tolist() == [102, 102]


def test_a_table_for_each_group() -> None:
    one, two = sequence(3, 2, 4, [7]), sequence(70, 0, 64, [1, 2, 3])
    one.windows = [WindowPages(array("i", [5]), 0), WindowPages(array("i", [6]), 0)]
    two.windows = [WindowPages(array("i", [0, 8, 9]), 1), WindowPages(array("i", [0, 0, 4]), 2)]
    batch = make_batch([Chunk(one, 1), Chunk(two, 1)]).as_arrays()
    assert batch.page_tables.tolist() == [[[7, 0, 0], [1, 2, 3]], [[5, 0, 0], [0, 8, 9]], [[6, 0, 0], [0, 0, 4]]]


@pytest.mark.parametrize("accepted", [0, 1, 2])
def test_advance_counts_what_was_accepted(accepted: int) -> None:
    decoding = sequence(3, 2, 4, [8])
    decoding.proposal = [5, 6, 7]
    Chunk(decoding, 1, (5, 6)).advance(accepted)
    assert decoding.computed == 5 + accepted
    assert decoding.proposal == []


def test_advance_counts_what_was_scored() -> None:
    scoring = sequence(6, 0, 2, [4])
    Chunk(scoring, 2, scored=range(2)).advance()
    assert (scoring.computed, scoring.scored, scoring.to_score) == (4, 4, 1)
