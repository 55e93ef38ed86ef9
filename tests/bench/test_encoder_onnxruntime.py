"""The adapter of ONNX Runtime for encoders: what its session is given, and how rows are pooled."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from honed.bench.peers.encoder_onnxruntime import ENVIRONMENT, OnnxruntimeEncoderRunner


class Session:
    """Gives a row [id, column] for each token, and nonsense for the padding."""

    def __init__(self, *names: str) -> None:
        self._names = names
        self.given: dict[str, NDArray[np.int64]] = {}

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name=name) for name in self._names]

    def run(self, outputs: None, given: dict[str, NDArray[np.int64]]) -> list[NDArray[np.float32]]:
        self.given = given
        ids, mask = given["input_ids"], given["attention_mask"]
        columns = np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
        rows = np.stack([ids, columns], axis=-1).astype(np.float32)
        return [np.where(mask[..., None] == 1, rows, 99.0).astype(np.float32)]


@pytest.mark.parametrize(
    ("pooling", "expected"), [("mean", [[6, 1], [8, 0]]), ("cls", [[5, 0], [8, 0]]), ("last", [[7, 2], [8, 0]])]
)
def test_poolings(pooling: str, expected: list[list[float]]) -> None:
    session = Session("input_ids", "attention_mask", "token_type_ids")
    runner = OnnxruntimeEncoderRunner(session, {"pooling": pooling, "normalize": False, "dtype": "int8"})
    assert runner.numbers(runner.encode([[5, 6, 7], [8]])) == expected
    assert set(session.given) == {"input_ids", "attention_mask", "token_type_ids"}
    assert session.given["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]


def test_a_model_without_types_is_given_none() -> None:
    session = Session("input_ids", "attention_mask")
    runner = OnnxruntimeEncoderRunner(session, {"pooling": "mean", "normalize": True, "dtype": "int8"})
    rows = np.array(runner.numbers(runner.encode([[5, 6, 7]])))
    assert set(session.given) == {"input_ids", "attention_mask"}
    assert np.allclose(np.linalg.norm(rows, axis=1), 1)


def test_every_package_is_pinned() -> None:
    assert all("==" in name for step in ENVIRONMENT.installs for name in step.requirements)
