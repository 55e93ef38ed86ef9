"""What systems that take rectangles are given, and how their rows are pooled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from honed.bench.peers.encoder_rectangle import RectangleRunner


class Library:
    """Gives a row [id, column] for each token, and nonsense for the padding."""

    def __init__(self) -> None:
        self.given: Mapping[str, NDArray[np.int64]] = {}

    def __call__(self, given: Mapping[str, Any]) -> NDArray[np.float32]:
        self.given = given
        ids, mask = given["input_ids"], given["attention_mask"]
        columns = np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
        rows = np.stack([ids, columns], axis=-1).astype(np.float32)
        return np.where(mask[..., None] == 1, rows, 99.0).astype(np.float32)


@pytest.mark.parametrize(
    ("pooling", "expected"), [("mean", [[6, 1], [8, 0]]), ("cls", [[5, 0], [8, 0]]), ("last", [[7, 2], [8, 0]])]
)
def test_poolings(pooling: str, expected: list[list[float]]) -> None:
    library = Library()
    names = ("input_ids", "attention_mask", "token_type_ids")
    runner = RectangleRunner(
        library, names, {"asked": "vectors", "pooling": pooling, "normalize": False, "dtype": "int8"}
    )
    assert runner.numbers(runner.encode([[5, 6, 7], [8]])) == expected
    assert set(library.given) == set(names)
    assert library.given["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]


def test_logits_of_classes_stay_and_those_of_padding_go() -> None:
    library = Library()
    names = ("input_ids", "attention_mask")
    tags = RectangleRunner(library, names, {"asked": "tags", "dtype": "int8"})
    assert tags.numbers(tags.encode([[5, 6, 7], [8]])) == [[5, 0, 6, 1, 7, 2], [8, 0]]
    classes = RectangleRunner(lambda given: given["input_ids"] * 0.5, names, {"asked": "classes", "dtype": "int8"})
    assert classes.numbers(classes.encode([[4, 6], [8, 2]])) == [[2, 3], [4, 1]]


def test_a_model_without_types_is_given_none() -> None:
    library = Library()
    names = ("input_ids", "attention_mask")
    runner = RectangleRunner(
        library, names, {"asked": "vectors", "pooling": "mean", "normalize": True, "dtype": "int8"}
    )
    rows = np.array(runner.numbers(runner.encode([[5, 6, 7]])))
    assert set(library.given) == set(names)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1)
