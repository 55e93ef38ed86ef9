from __future__ import annotations

import pytest

from hash_backend import ChoosingHashBackend, HashBackend, logits_of
from honed.backends.base import PlainBatch, RowChoice
from honed.runtime.batch import Chunk, make_batch
from honed.runtime.logits_chooser import LogitsChooser, chooser_of
from honed.runtime.request import Request
from honed.runtime.sampling import Sampler, choose_row
from honed.runtime.sequence import Sequence


def batch() -> PlainBatch:
    request = Request((1, 2, 3), 5)
    sequence = Sequence(
        id=0, request=request, limit=5, sampler=Sampler(request.sampling, request.prompt), tokens=[1, 2, 3]
    )
    sequence.pages.append(4)
    return make_batch([Chunk(sequence, 3)])


def test_a_backend_that_chooses_is_taken_as_it_is() -> None:
    backend = ChoosingHashBackend()
    assert chooser_of(backend) is backend


def test_others_choose_from_their_logits_as_the_reference_does() -> None:
    chooser = chooser_of(HashBackend(step_tokens=24))
    assert isinstance(chooser, LogitsChooser)
    assert chooser.choices == 24
    chooser.compute(batch())
    row = RowChoice(temperature=0.7, uniform=0.4, logprobs=2)
    assert chooser.choose([row]) == [choose_row(logits_of([1, 2, 3]), row)]


def test_tokens_are_chosen_once_for_a_batch() -> None:
    chooser = LogitsChooser(HashBackend())
    with pytest.raises(RuntimeError, match="once for each batch"):
        chooser.choose([])
