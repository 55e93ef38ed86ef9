from __future__ import annotations

from collections.abc import Sequence as Many

import numpy as np
import pytest
from numpy.typing import NDArray

from engine_events import SEEDED, decoded, expected, run_all
from hash_backend import VOCABULARY, ChoosingHashBackend, HashBackend, logits_of
from honed.backends.base import RowChoice
from honed.runtime.engine import Engine
from honed.runtime.events import Failed, Finished, PromptScored
from honed.runtime.request import GREEDY, Request, Sampling
from honed.runtime.sampling import choose_row
from honed.runtime.speculation import SpeculationKind


@pytest.mark.parametrize("backend_class", [HashBackend, ChoosingHashBackend])
@pytest.mark.parametrize(("step_tokens", "pages"), [(64, 16), (7, 16), (1, 4)])
def test_every_position_of_a_prompt_is_scored_once_and_in_order(
    backend_class: type[HashBackend], step_tokens: int, pages: int
) -> None:
    prompt = tuple(token * 7 % VOCABULARY for token in range(70))
    engine = Engine(backend_class(step_tokens=step_tokens, pages=pages))
    scored = engine.add(Request(prompt, 0, prompt_logprobs=2))
    other = engine.add(Request((1, 2, 3), 40, SEEDED))
    events = run_all(engine)
    scores = [score for e in events if isinstance(e, PromptScored) for score in e.scores]
    assert scores == [
        choose_row(logits_of(list(prompt[:i])), RowChoice(score=prompt[i], logprobs=2)).logprobs
        for i in range(1, len(prompt))
    ]
    assert Finished(scored, "length") in events
    assert decoded(events, scored) == []
    assert decoded(events, other) == expected(Request((1, 2, 3), 40, SEEDED))[0]


def test_a_scored_prompt_goes_on_to_a_reply_and_is_scored_once_when_preempted() -> None:
    wanted = [Request((i,) * 40, 50, prompt_logprobs=0) for i in (1, 2)]
    backend = HashBackend(pages=4, step_tokens=64)
    engine = Engine(backend, prefix_cache=False)
    ids = [engine.add(request) for request in wanted]
    events = run_all(engine)
    assert engine.statistics().preemptions > 0
    for request_id, request in zip(ids, wanted, strict=True):
        assert decoded(events, request_id) == expected(request)[0]
        scores = [e.scores for e in events if isinstance(e, PromptScored) and e.request_id == request_id]
        assert sum(map(len, scores)) == 39


class Cycle:
    """Implements Constraint: the tokens of a text, in their order, any of `width` of them at each place; what comes
    next is forced where the place says so."""

    def __init__(self, text: list[int], *, forced: bool = False, fails: str = "") -> None:
        self._text = text
        self._at = 0
        self._forced = forced
        self._fails = fails
        self.accepted: list[int] = []

    def masks(self, proposal: Many[int]) -> NDArray[np.uint32]:
        self._fail("masks")
        rows = []
        for at in range(self._at, self._at + len(proposal) + 1):
            if at > self._at and proposal[at - self._at - 1] not in self._allowed(at - 1):
                break
            rows.append(_bits(self._allowed(at)))
        return np.array(rows, dtype=np.uint32)

    def accept(self, token: int) -> None:
        self._fail("accept")
        assert token in self._allowed(self._at)
        self.accepted.append(token)
        self._at += 1

    def forced(self) -> list[int]:
        self._fail("forced")
        return [*self._text[self._at : self._at + 4], 0] if self._forced else []

    @property
    def ended(self) -> bool:
        self._fail("ended")
        return self._at >= len(self._text)

    def _allowed(self, at: int) -> set[int]:
        if at >= len(self._text):
            return {49}
        return {self._text[at]} if self._forced and at % 5 else {self._text[at], (self._text[at] + 1) % VOCABULARY}

    def _fail(self, what: str) -> None:
        if self._fails == what and self._at >= 3:
            raise ValueError(f"{what} went wrong")


def _bits(tokens: set[int]) -> list[int]:
    words = [0, 0]
    for token in tokens:
        words[token // 32] |= 1 << token % 32
    return words


TEXT = [number * 3 % 40 for number in range(12)]


@pytest.mark.parametrize("speculation", ["off", "prompt-lookup"])
@pytest.mark.parametrize("forced", [False, True])
@pytest.mark.parametrize("sampling", [GREEDY, SEEDED])
def test_a_constraint_is_kept_and_its_end_stops(speculation: SpeculationKind, forced: bool, sampling: Sampling) -> None:
    alone = Engine(ChoosingHashBackend(), speculation="off").generate(
        [Request((1, 2), 40, sampling, constraint=Cycle(TEXT, forced=forced))]
    )
    constraint = Cycle(TEXT, forced=forced)
    engine = Engine(ChoosingHashBackend(), speculation=speculation)
    constrained = engine.add(Request((1, 2), 40, sampling, constraint=constraint))
    free = engine.add(Request((3, 4), 20, SEEDED))
    events = run_all(engine)
    assert constraint.accepted == decoded(events, constrained) == list(alone[0].tokens)
    assert Finished(constrained, "stop") in events
    assert len(constraint.accepted) == len(TEXT)
    assert decoded(events, free) == expected(Request((3, 4), 20, SEEDED))[0]
    if forced and speculation != "off":
        assert engine.statistics().accepted > 0


@pytest.mark.parametrize("fails", ["masks", "accept", "forced", "ended"])
def test_a_constraint_that_raises_ends_its_request_alone(fails: str) -> None:
    engine = Engine(HashBackend())
    broken = engine.add(Request((1, 2), 40, constraint=Cycle(TEXT, forced=True, fails=fails)))
    sound = engine.add(Request((3, 4), 20, SEEDED))
    events = run_all(engine)
    (failed,) = [event for event in events if isinstance(event, Failed)]
    assert failed.request_id == broken
    assert str(failed.error) == f"{fails} went wrong"
    assert decoded(events, sound) == expected(Request((3, 4), 20, SEEDED))[0]
    assert engine.free_pages == 16


def test_a_backend_that_fails_while_masks_are_made_can_be_stepped_again() -> None:
    backend = HashBackend()
    engine = Engine(backend)
    constraint = Cycle(TEXT, forced=True)
    engine.add(Request((1, 2), 40, constraint=constraint))
    aborted = engine.add(Request((1,), 5))
    engine.abort(aborted)
    backend.fail_next = True
    with pytest.raises(RuntimeError, match="backend failed"):
        engine.step()
    events = run_all(engine)
    assert Finished(aborted, "abort") in events
    assert constraint.accepted == decoded(events, 0)
