"""Against a case that is computed by hand, and against the definition: after each weight that becomes zero, those that
are left are set anew to where the outputs change least, by an inverse each time (Optimal Brain Surgeon)."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from honed.compress.error_feedback import feedback
from honed.compress.sparse_feedback import prune_with_feedback

Wide = NDArray[np.float64]


def correlated(width: int, seed: int) -> Wide:
    random = np.random.default_rng(seed)
    rows = random.standard_normal((3 * width, width)) @ random.standard_normal((width, width))
    rows *= np.exp(random.standard_normal(width))
    return np.asarray(rows.T @ rows / len(rows))


def change(weight: NDArray[np.float32], other: NDArray[np.float32], gram: Wide) -> float:
    difference = weight.astype(np.float64) - other
    return float(np.einsum("ri,ij,rj->", difference, gram, difference))


def by_definition(
    weight: NDArray[np.float32], gram: Wide, share: float, run: tuple[int, int] | None
) -> tuple[Wide, NDArray[np.bool_]]:
    """Column by column, each time by the inverse of the Gram matrix of the columns that are left."""
    moved, width = weight.astype(np.float64), weight.shape[1]
    pruned = np.zeros(weight.shape, bool)
    for column in range(width):
        left = np.arange(column, width)
        if (run is None and column % 128 == 0) or (run is not None and column % run[1] == 0):
            stop = min(width, column + (128 if run is None else run[1]))
            costs = np.array([np.linalg.inv(gram[c:, c:])[0, 0] for c in range(column, stop)])
            scores = moved[:, column:stop] ** 2 / costs
            if run is None:
                count = round(share * stop * len(weight)) - round(share * column * len(weight))
                places = np.argsort(scores.T.ravel(), kind="stable")[:count]  # in the order of inputs
                pruned.T[column + places // len(weight), places % len(weight)] = True
            else:
                for row in range(len(weight)):
                    pruned[row, column + np.argsort(scores[row], kind="stable")[: run[1] - run[0]]] = True
        inverse = np.linalg.inv(gram[np.ix_(left, left)])
        error = np.where(pruned[:, column], moved[:, column], 0.0)
        moved[:, left] -= np.outer(error / inverse[0, 0], inverse[0])
    return moved, pruned


PEER_LEFT = [
    # llm-compressor 0.14 (`sparsify_weight` of its SparseGPT, 2:4, damping 0.01), to four places.
    [-3.7344, 0, 0, -3.2631, 0, 2.8198, -1.6906, 0],
    [0, -2.7694, 1.179, 0, 2.5183, 0, 3.5423, 0],
    [-2.0781, 3.5469, 0, 0, 0, 5.7271, 0, -1.8775],
    [2.5625, 1.9375, 0, 0, 0, 0, -1.3784, -2.4109],
]


def test_what_is_left_is_that_of_another_implementation() -> None:
    row, column = np.mgrid[:4, :8]
    weight = ((37 * row + 23 * column + 11 * row * column) % 61 - 30) / 8 + (row + 1) / 64
    i, j = np.mgrid[:24, :8]
    x = ((i * i + 3 * i * j + 5 * j) % 11 - 5.0) + ((i + j) % 3 == 0) * ((i * 7) % 5)
    told = feedback(x.T @ x, damping=0.01, by_activation=False)
    values, pruned = prune_with_feedback(weight.astype(np.float32), told, share=0.5, run=(2, 4))
    np.testing.assert_array_equal(pruned, np.array(PEER_LEFT) == 0)
    np.testing.assert_allclose(values, PEER_LEFT, atol=6e-5)


def test_a_weight_that_goes_is_made_up_for_by_the_next_input() -> None:
    gram = np.array([[1.0, 0.5], [0.5, 1.0]])
    weight = np.array([[1.0, 2.0]], np.float32)
    values, pruned = prune_with_feedback(
        weight, feedback(gram, damping=1e-12, by_activation=False), share=0.5, run=None
    )
    # [H^-1] is 4/3 of both inputs, then 1 of the second alone: 1 / (4/3) goes, and half of it to the second input.
    assert pruned.tolist() == [[True, False]]
    np.testing.assert_allclose(values, [[0.0, 2.5]])
    assert change(weight, values, gram) == pytest.approx(0.75)
    assert change(weight, np.array([[0.0, 2.0]], np.float32), gram) == pytest.approx(1.0)


@pytest.mark.parametrize(("share", "run"), [(0.5, None), (0.3, None), (0.5, (2, 4)), (0.75, (1, 4)), (0.5, (3, 6))])
def test_as_the_definition_has_it(share: float, run: tuple[int, int] | None) -> None:
    width = 192
    weight = np.random.default_rng(5).standard_normal((3, width)).astype(np.float32)
    gram = correlated(width, 6)
    damped = gram + 0.01 * gram.diagonal().mean() * np.eye(width)
    expected, mask = by_definition(weight, damped, share, run)
    values, pruned = prune_with_feedback(
        weight, feedback(gram, damping=0.01, by_activation=False), share=share, run=run
    )
    np.testing.assert_array_equal(pruned, mask)
    np.testing.assert_allclose(values, np.where(mask, 0, expected), rtol=1e-4, atol=1e-5)
    assert (values[pruned] == 0).all()
    assert pruned.sum() == round(share * weight.size)
    assert change(weight, values, gram) < 0.85 * change(weight, np.where(mask, np.float32(0), weight), gram)


def test_one_weight_alone_is_the_step_of_optimal_brain_surgeon() -> None:
    width = 12
    weight = np.random.default_rng(1).standard_normal((1, width)).astype(np.float32)
    gram = correlated(width, 2)
    # With the first input far the cheapest, one that is to go is the first: all others move by its row of the inverse.
    weight[0, 0] = 1e-3
    damped = gram + 1e-6 * gram.diagonal().mean() * np.eye(width)
    inverse = np.linalg.inv(damped)
    expected = weight[0] - weight[0, 0] / inverse[0, 0] * inverse[0]
    found = feedback(gram, damping=1e-6, by_activation=False)
    values, pruned = prune_with_feedback(weight, found, share=1 / width, run=None)
    assert pruned[0].tolist() == [True] + [False] * (width - 1)
    np.testing.assert_allclose(values[0], expected, rtol=1e-5, atol=1e-6)


def test_in_order_of_activation_the_largest_inputs_are_looked_at_first() -> None:
    weight = np.random.default_rng(5).standard_normal((4, 200)).astype(np.float32)
    gram = correlated(200, 8)
    order = np.argsort(-gram.diagonal(), kind="stable")
    values, pruned = prune_with_feedback(weight, feedback(gram, damping=0.01, by_activation=True), share=0.5, run=None)
    permuted = gram[np.ix_(order, order)]
    of_permuted, mask = prune_with_feedback(
        weight[:, order], feedback(permuted, damping=0.01, by_activation=False), share=0.5, run=None
    )
    np.testing.assert_array_equal(values[:, order], of_permuted)
    np.testing.assert_array_equal(pruned[:, order], mask)
    with pytest.raises(ValueError, match="their own order"):
        prune_with_feedback(weight, feedback(gram, damping=0.01, by_activation=True), share=0.5, run=(2, 4))
