from __future__ import annotations

from honed.runtime.acceptance import LONGEST, Acceptance


def test_acceptance_follows_what_is_seen() -> None:
    acceptance = Acceptance(Acceptance())
    for _ in range(30):
        acceptance.note(5, False)
        acceptance.note(LONGEST + 4, True)
    assert acceptance.rate(5) < 0.05
    assert 0.9 < acceptance.rate(LONGEST) < 1


def test_one_sequence_is_believed_sooner_than_all_together_and_all_learn_from_it() -> None:
    everybody = Acceptance()
    before = everybody.rate(2)
    one, other = Acceptance(everybody), Acceptance(everybody)
    for _ in range(5):
        one.note(2, True)
    assert one.rate(2) > everybody.rate(2) > before
    assert other.rate(2) == before
    assert Acceptance(everybody).rate(2) == everybody.rate(2)


def test_nothing_is_certain() -> None:
    acceptance = Acceptance()
    for _ in range(2000):
        acceptance.note(9, True)
    assert 0.95 < acceptance.rate(9) < 1
