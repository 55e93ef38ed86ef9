from __future__ import annotations

from array import array

from honed.backends.token_pairs import TokenPairs


def test_a_collection_of_pairs() -> None:
    pairs = TokenPairs.floats(iter([(3, 1.5), (7, -2)]))
    assert list(pairs) == [(3, 1.5), (7, -2.0)]
    assert len(pairs) == 2
    assert (3, 1.5) in pairs
    assert (3, 2.5) not in pairs
    assert repr(pairs) == "TokenPairs([(3, 1.5), (7, -2.0)])"
    assert pairs == TokenPairs(array("i", [3, 7]), array("d", [1.5, -2.0]))
    assert pairs != TokenPairs(array("i", [3]), array("i", [1]))
    assert not TokenPairs.floats([])
