from __future__ import annotations

import pytest

from engine_events import SEEDED, run_all
from hash_backend import ChoosingHashBackend, HashBackend, logits_of
from honed.backends.base import PageGroup, span_pages
from honed.errors import ParameterError
from honed.runtime.draft import DraftModel
from honed.runtime.engine import Engine
from honed.runtime.request import GREEDY, Request, Sampling
from honed.runtime.sampling import Sampler
from honed.runtime.sequence import Sequence


def sequence(number: int, tokens: list[int], limit: int = 100) -> Sequence:
    request = Request(tuple(tokens), limit)
    return Sequence(number, request, limit, Sampler(GREEDY, tokens), list(tokens))


def greedy(tokens: list[int], count: int) -> list[int]:
    made = list(tokens)
    for _ in range(count):
        made.append(int(logits_of(made).argmax()))
    return made[len(tokens) :]


def test_guesses_are_the_greedy_continuations() -> None:
    draft = DraftModel(ChoosingHashBackend())
    sequences = [sequence(1, [1, 2, 3]), sequence(2, [4] * 40)]
    assert draft.guess(sequences, 3) == [greedy([1, 2, 3], 3), greedy([4] * 40, 3)]
    assert draft.seconds > 0
    draft.check_integrity({1, 2})


@pytest.mark.parametrize("accepted", [0, 1, 2, 3])
def test_what_was_taken_of_a_guess_is_not_computed_again(accepted: int) -> None:
    backend = ChoosingHashBackend()
    draft = DraftModel(backend)
    one = sequence(1, [1, 2, 3])
    (guess,) = draft.guess([one], 3)
    # One that agrees again after the place where it went wrong is wrong all the same.
    taken = [*guess[:accepted], 49, *guess[accepted + 1 :]]
    one.tokens += taken
    backend.batches.clear()
    assert draft.guess([one], 2) == [greedy(one.tokens, 2)]
    assert backend.batches[0].positions[0] == 3 + min(accepted, 2)


def test_a_long_prompt_is_computed_over_several_calls() -> None:
    draft = DraftModel(ChoosingHashBackend(step_tokens=16))
    one, two = sequence(1, [1] * 40), sequence(2, [2])
    assert draft.guess([one, two], 2) == [[], []]
    assert draft.guess([one, two], 2) == [[], []]
    assert draft.guess([one, two], 2) == [greedy([1] * 40, 2), greedy([2], 2)]


def test_whoever_was_guessed_for_least_recently_gives_its_pages_up() -> None:
    draft = DraftModel(ChoosingHashBackend(pages=3))
    one, two, three = (sequence(number, [number] * 30) for number in (1, 2, 3))
    for group in ([one], [two], [three], [one], [two, three]):
        for each, guess in zip(group, draft.guess(group, 2), strict=True):
            assert guess == greedy(each.tokens, 2)
        draft.check_integrity({1, 2, 3})
    long = sequence(4, [5] * 64)
    assert draft.guess([long, one], 2) == [greedy([5] * 64, 2), []]
    draft.check_integrity({4})
    for each in (one, two, three, long):
        draft.forget(each)
    draft.check_integrity(())


def test_what_does_not_fit_has_no_guess() -> None:
    draft = DraftModel(ChoosingHashBackend(context=40, pages=16))
    assert draft.guess([sequence(1, [1] * 39)], 2) == [[]]


def test_logits_that_are_not_finite_end_a_guess() -> None:
    backend = ChoosingHashBackend()
    backend.poison.add((1, 2))
    assert DraftModel(backend).guess([sequence(1, [1, 2]), sequence(2, [3])], 2) == [[], greedy([3], 2)]


@pytest.mark.parametrize("sampling", [GREEDY, SEEDED, Sampling(temperature=1.0, seed=4, logprobs=1)])
@pytest.mark.parametrize("pages", [16, 3])
def test_an_engine_with_a_draft_gives_the_same_tokens(sampling: Sampling, pages: int) -> None:
    wanted = [Request((number,) * 20, 60, sampling) for number in range(4)]
    plain = Engine(HashBackend(), speculation="off").generate(wanted)
    engine = Engine(HashBackend(), speculation="off", draft=ChoosingHashBackend(pages=pages))
    assert engine.generate(wanted) == plain
    run_all(engine)
    engine.check_integrity()


def test_a_draft_that_is_right_saves_steps() -> None:
    engine = Engine(ChoosingHashBackend(step_tokens=256), speculation="off", draft=ChoosingHashBackend())
    engine.generate([Request((1, 2, 3), 200)])
    found = engine.statistics()
    assert found.proposed == found.accepted > 0


def test_a_draft_with_another_vocabulary_is_refused() -> None:
    class Other(HashBackend):
        @property
        def vocabulary(self) -> int:
            return 51

    with pytest.raises(ParameterError, match="draft = 'a model with 51 tokens'"):
        Engine(HashBackend(), draft=Other())


@pytest.mark.parametrize("window", [3, 40])
def test_a_draft_with_windows_holds_pages_for_what_it_sees(window: int) -> None:
    """Guesses are those of the whole context, whatever was taken of the ones before, on pages for one sequence."""

    def greedy_seen(tokens: list[int], count: int) -> list[int]:
        made = list(tokens)
        for _ in range(count):
            made.append(int(logits_of([*made, *made[-window:]]).argmax()))
        return made[len(tokens) :]

    group = PageGroup(span_pages(window) + 1, window)
    draft = DraftModel(ChoosingHashBackend(pages=20, step_tokens=32, more=[group]))
    one, two = sequence(1, [1] * 100), sequence(2, [2] * 70)
    for each in (one, two, one):
        while not (guess := draft.guess([each], 3)[0]):
            draft.check_integrity({1, 2})
        for turn in range(40):
            assert guess == greedy_seen(each.tokens, 3)
            draft.check_integrity({1, 2})
            each.tokens += [*guess[: turn % 4], turn % 7]
            (guess,) = draft.guess([each], 3)
    draft.forget(one)
    draft.forget(two)
    draft.check_integrity(())
