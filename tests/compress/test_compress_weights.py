from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from honed.compress.linears import HEAD
from honed.compress.weights import ChangedWeights, DeferredWeight, SourceWeights, WithHead
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.models.registry import read_model
from tiny_models import SIZES


def dense(*values: float) -> Dense:
    return Dense(np.array(values, np.float32), "float32")


@pytest.mark.parametrize("tied", [True, False])
def test_a_tied_head_that_is_to_be_apart_is_read_from_its_table(tied: bool) -> None:
    model = read_model({**SIZES, "model_type": "llama", "tie_word_embeddings": tied})
    read: list[str] = []

    def source(name: str) -> Encoded:
        read.append(name)
        return dense(1)

    weights, together = SourceWeights(model, source), SourceWeights(model, source, head_apart=False)
    assert set(weights) == {*model.weights(), HEAD}
    assert len(weights) == len(list(weights))
    assert (HEAD in together) is not tied
    assert read == []
    assert weights[HEAD].shape == (1,)
    assert read == ["model.embed_tokens.weight" if tied else HEAD]


def test_changed_weights_are_made_when_they_are_asked_for_and_the_others_are_as_before() -> None:
    before = {"a": dense(1), "b": dense(2)}
    made: list[str] = []

    def make(name: str) -> Encoded:
        made.append(name)
        return dense(3)

    changed = ChangedWeights(before, make, frozenset({"b"}))
    assert list(changed) == ["a", "b"]
    assert len(changed) == 2
    assert "b" in changed
    assert "c" not in changed
    assert changed["a"] is before["a"]
    assert made == []
    assert changed["b"].decode() == changed["b"].decode() == 3
    assert made == ["b", "b"]


def test_a_deferred_weight_is_as_large_as_its_source_and_has_the_values_that_are_found() -> None:
    asked: list[int] = []

    def resolve() -> Encoded:
        asked.append(1)
        return dense(5, 6)

    weight = DeferredWeight(dense(1, 2), resolve)
    assert (weight.shape, weight.nbytes, weight.kind) == ((2,), 8, "deferred")
    assert asked == []
    assert weight.decode(slice(1, 2)) == 6
    assert weight.decode(slice(0, 1)) == 5
    assert asked == [1]


def test_weights_of_a_pass_in_full_precision_are_made_when_they_are_decoded() -> None:
    made: list[str] = []

    def make(name: str) -> Encoded:
        made.append(name)
        return dense(3, 4)

    before = {"a": dense(1, 2)}
    changed = ChangedWeights.deferred(before, make, frozenset({"a"}))
    assert changed["a"].shape == (2,)
    assert made == []
    np.testing.assert_array_equal(changed["a"].decode(), [3, 4])
    assert made == ["a"]


def test_a_head_is_added_behind_the_others_and_is_the_table() -> None:
    before = {"table": dense(1, 2), "norm": dense(3)}
    weights = WithHead(before, "table")
    assert list(weights) == ["table", "norm", HEAD]
    assert len(weights) == 3
    assert HEAD in weights
    assert "other" not in weights
    assert weights[HEAD] is before["table"]
    assert weights["norm"] is before["norm"]


def test_a_deferred_weight_may_wait_for_another_in_another_thread() -> None:
    other = DeferredWeight(dense(1), lambda: dense(5))
    with ThreadPoolExecutor(1) as pool:
        weight = DeferredWeight(dense(1), lambda: dense(float(pool.submit(other.decode).result(timeout=30)[0]) + 1))
        assert weight.decode() == 6
