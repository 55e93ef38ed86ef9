from __future__ import annotations

import pytest

from honed.bench.workload import Workload, prompt_ids, workload_prompts
from honed.errors import ParameterError


def letters(text: str) -> list[int]:
    return [ord(letter) for letter in text]


def words(text: str) -> list[int]:
    return [len(word) for word in text.split()[:1000]]


def test_prompt_is_the_start_of_the_text() -> None:
    assert len(prompt_ids(letters, 512)) == 512
    assert prompt_ids(letters, 100) == prompt_ids(letters, 512)[:100]


def test_prompt_longer_than_the_text_reads_it_again() -> None:
    ids = prompt_ids(words, 2500)
    assert len(ids) == 2500
    assert ids[:1000] == ids[1000:2000]
    assert ids[2000:] == ids[:500]


@pytest.mark.parametrize("name", ["prompt_tokens", "new_tokens", "threads", "runs", "batch"])
def test_nothing_can_be_zero(name: str) -> None:
    with pytest.raises(ParameterError, match=f"{name} = 0"):
        Workload(**{name: 0})


def test_sequences_of_a_batch_have_prompts_of_their_own() -> None:
    one = workload_prompts(letters, Workload(prompt_tokens=50))
    four = workload_prompts(letters, Workload(prompt_tokens=50, batch=4))
    assert one == four[:1]
    assert [len(prompt) for prompt in four] == [50] * 4
    assert len(set(four)) == 4
