from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from honed.bench.encoders.workload import EncodeWorkload, workload_texts
from honed.errors import ParameterError


def encode(text: str) -> list[int]:
    return [ord(character) for character in text if character.isalpha()]


def complete(ids: Sequence[int]) -> list[int]:
    return [1, *ids, 2]


def test_texts_of_one_length() -> None:
    texts = workload_texts(encode, complete, EncodeWorkload(texts=4, tokens=9))
    assert [len(text) for text in texts] == [9] * 4
    assert all(text[0] == 1 and text[-1] == 2 for text in texts)
    assert len(set(texts)) == 4


def test_ragged_texts() -> None:
    workload = EncodeWorkload(texts=5, tokens=64, ragged=True)
    assert workload.lengths == (64, 52, 40, 28, 16)
    assert [len(text) for text in workload_texts(encode, complete, workload)] == list(workload.lengths)
    assert EncodeWorkload(texts=1, tokens=64, ragged=True).lengths == (64,)


def test_labels() -> None:
    assert EncodeWorkload().label == "32 texts of 64 tokens, 1 thread"
    assert EncodeWorkload(ragged=True, threads=2).label == "32 texts of 16 to 64 tokens, 2 threads"


@pytest.mark.parametrize("name", ["texts", "tokens", "threads", "runs"])
def test_numbers_are_checked(name: str) -> None:
    wrong: dict[str, Any] = {name: 0}
    with pytest.raises(ParameterError, match=name):
        EncodeWorkload(**wrong)
