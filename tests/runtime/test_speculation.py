from __future__ import annotations

import random
from collections.abc import Callable
from collections.abc import Sequence as Many

import pytest

from honed.runtime.request import GREEDY, Request
from honed.runtime.sampling import Sampler
from honed.runtime.sequence import Sequence
from honed.runtime.speculation import WIDEST, Speculation

COPIED = tuple(random.Random(1).sample(range(1000, 3000), 300))


def sequence(number: int, prompt: tuple[int, ...], limit: int = 4000) -> Sequence:
    request = Request(prompt, limit)
    return Sequence(id=number, request=request, limit=limit, sampler=Sampler(GREEDY, prompt), tokens=list(prompt))


def decode(
    speculation: Speculation,
    sequences: Many[Sequence],
    replies: Many[Many[int]],
    cost: Callable[[int], float],
    steps: int,
) -> tuple[int, float, list[int]]:
    """Steps of a machine with these costs by rows, on a model that gives these replies: tokens, seconds, and the
    proposals of each step."""
    tokens, seconds, proposed = 0, 0.0, []
    for _ in range(steps):
        for each in sequences:
            each.proposal = []
        speculation.propose(sequences, len(sequences))
        rows = len(sequences) + sum(len(each.proposal) for each in sequences)
        assert rows <= 320
        before = tokens
        for each, reply in zip(sequences, replies, strict=True):
            for guess in [*each.proposal, -1]:
                token = reply[each.generated]
                each.tokens.append(token)
                tokens += 1
                if token != guess:
                    break
        speculation.note(rows, cost(rows), proposed=rows - len(sequences), accepted=tokens - before - len(sequences))
        seconds += cost(rows)
        proposed.append(rows - len(sequences))
    return tokens, seconds, proposed


def free_text(seed: int) -> list[int]:
    """Pairs come again, what follows them does not."""
    draw = random.Random(seed)
    return [draw.randrange(12) for _ in range(20000)]


def flat(rows: int) -> float:
    """Rows that share a read of the weights."""
    return 1.0 + 0.02 * rows


def steep(rows: int) -> float:
    """Rows that gain nothing from each other."""
    return float(rows)


def test_copies_are_proposed_widely_where_rows_are_cheap() -> None:
    tokens, seconds, proposed = decode(Speculation(), [sequence(1, COPIED)], [COPIED * 14], flat, 200)
    assert tokens / seconds > 6 / flat(1)
    assert max(proposed) == WIDEST


def test_nothing_is_proposed_where_rows_are_dear() -> None:
    tokens, seconds, proposed = decode(Speculation(), [sequence(1, COPIED)], [COPIED * 14], steep, 2000)
    assert tokens / seconds > 0.97
    assert sum(count > 0 for count in proposed) < 40


@pytest.mark.parametrize("cost", [flat, steep, lambda rows: 1.0 + 0.25 * rows])
@pytest.mark.parametrize("count", [1, 4, 32])
def test_free_text_is_never_slower_than_plain(cost: Callable[[int], float], count: int) -> None:
    sequences = [sequence(number, (1, 2, 3)) for number in range(count)]
    tokens, seconds, _ = decode(Speculation(), sequences, [free_text(number) for number in range(count)], cost, 1500)
    assert tokens / seconds > 0.97 * count / cost(count)


def test_plain_steps_are_measured_again_now_and_then() -> None:
    _, _, proposed = decode(Speculation(), [sequence(1, COPIED)], [COPIED * 14], flat, 250)
    assert 1 <= sum(count == 0 for count in proposed[10:]) <= 5


def test_a_copy_among_many_is_found_out() -> None:
    sequences = [sequence(0, COPIED), *(sequence(number, (1, 2, 3)) for number in range(1, 8))]
    replies = [COPIED * 14, *(free_text(number) for number in range(1, 8))]
    decode(Speculation(), sequences, replies, flat, 150)
    assert sequences[0].generated > 1000
    assert sequences[1].generated < 400


def test_the_last_token_is_not_proposed_for() -> None:
    speculation = Speculation()
    speculation.note(1, 1.0)
    nearly = sequence(1, (*range(100, 150), 100, 101, 102), limit=1)
    speculation.propose([nearly], 1)
    assert nearly.proposal == []


def test_who_has_ended_is_forgotten() -> None:
    speculation = Speculation()
    one = sequence(1, COPIED)
    speculation.propose([one], 1)
    with pytest.raises(AssertionError, match="ended"):
        speculation.check_integrity(())
    speculation.forget(one)
    speculation.check_integrity(())


def test_nothing_is_looked_up_where_many_decode() -> None:
    sequences = [sequence(number, COPIED) for number in range(9)]
    _, _, proposed = decode(Speculation(), sequences, [COPIED * 14] * 9, flat, 100)
    assert not any(proposed)
    _, _, proposed = decode(Speculation(), sequences[:8], [COPIED * 14] * 8, flat, 100)
    assert any(proposed)


def test_loss_is_bounded_where_costs_are_not_what_they_were_measured_as() -> None:
    """Every other step is a lucky one, as on a busy machine; nothing that is guessed comes true."""
    speculation, seconds = Speculation(), 0.0
    one = sequence(1, COPIED)
    draw = random.Random(3)
    for step in range(2000):
        one.proposal = []
        speculation.propose([one], 1)
        rows = 1 + len(one.proposal)
        took = steep(rows) if rows == 1 or step % 2 else 0.5
        one.tokens.append(draw.choice(COPIED))
        speculation.note(rows, took, proposed=rows - 1, accepted=0)
        seconds += took
    assert seconds < 1.05 * 2000
