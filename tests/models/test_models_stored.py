"""Where the pieces of a tensor lie, against numpy's own way of cutting it."""

from __future__ import annotations

import numpy as np

from honed.encodings.dense import Dense
from honed.encodings.rearranged import rearranged
from honed.models.stored import Stored, by_head, plus_one, stacked, transposed
from honed.ops.values import Weight

Q, K, V = Weight("q", (12, 5)), Weight("k", (4, 5)), Weight("v", (4, 5))


def taken(tensor: np.ndarray, form: Stored) -> np.ndarray:
    assert tensor.shape == form.tensor.shape
    return rearranged(Dense(tensor, "float32"), form.rows, transposed=form.transposed).decode()


def test_behind_each_other() -> None:
    whole = np.arange(100, dtype=np.float32).reshape(20, 5)
    forms = dict(stacked("qkv", [Q, K, V]))
    for name, part in zip("qkv", np.split(whole, [12, 16]), strict=True):
        assert np.array_equal(taken(whole, forms[name]), part)
    across = dict(stacked("qkv", [Q, K, V], across=True))
    for name in "qkv":
        assert np.array_equal(taken(np.ascontiguousarray(whole.T), across[name]), taken(whole, forms[name]))


def test_biases_have_nothing_to_be_turned() -> None:
    whole = np.arange(20, dtype=np.float32)
    parts = [Weight(weight.name, weight.shape[:1]) for weight in (Q, K, V)]
    for name, form in stacked("b", parts, across=True):
        assert np.array_equal(taken(whole, form), whole[{"q": slice(12), "k": slice(12, 16), "v": slice(16, 20)}[name]])


def test_head_by_head() -> None:
    whole = np.arange(4 * 3 * 2 * 5, dtype=np.float32).reshape(24, 5)
    parts = [Weight(name, (8, 5)) for name in "qkv"]
    for place, (_, form) in enumerate(by_head("qkv", parts, heads=4)):
        assert np.array_equal(taken(whole, form), whole.reshape(4, 3, 2, 5)[:, place].reshape(8, 5))


def test_one_weight_in_a_tensor() -> None:
    assert transposed(Weight("w", (3, 7))) == ("w", Stored(Weight("w", (7, 3)), transposed=True))
    assert transposed(Weight("w", (3, 7)), "other")[1].tensor == Weight("other", (7, 3))
    assert plus_one(Weight("n", (3,))) == ("n", Stored(Weight("n", (3,)), added=1.0))
