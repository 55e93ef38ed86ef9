"""Tensors of a file put together of weights."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from honed.checkpoints.gguf.file_header import WrittenTensor
from honed.checkpoints.gguf.names import split_halves
from honed.checkpoints.gguf.tensor_bytes import tensor_bytes
from honed.checkpoints.gguf.tensor_plan import PlannedTensor
from honed.encodings.dense import Dense
from honed.encodings.gguf_rounding import BY_NAME, round_rows
from honed.encodings.int8 import Int8
from honed.encodings.rearranged import RowRuns
from honed.errors import FormatError
from honed.models.stored import Stored
from honed.ops.values import Weight

GENERATOR = np.random.default_rng(9)


def drawn(*shape: int) -> NDArray[np.float32]:
    return GENERATOR.standard_normal(shape, np.float32)


def written(
    shape: tuple[int, ...],
    pieces: dict[str, tuple[NDArray[np.float32], Stored]],
    name: str = "F32",
    heads: int | None = None,
) -> NDArray[np.uint8]:
    planned = PlannedTensor(
        WrittenTensor("t.weight", shape, BY_NAME[name]),
        tuple((piece, form) for piece, (_, form) in pieces.items()),
        heads,
        kept=False,
    )
    data, error = tensor_bytes(planned, lambda piece: Dense(pieces[piece][0], "float32"))
    assert error == 0
    return data


def test_experts_lie_behind_each_other() -> None:
    whole = Weight("t", (3, 4, 32))
    parts = {f"e{i}": (drawn(4, 32), Stored(whole, matrix=i)) for i in (2, 0, 1)}
    expected = np.stack([parts[f"e{i}"][0] for i in range(3)])
    np.testing.assert_array_equal(written((3, 4, 32), parts).view("<f4").reshape(3, 4, 32), expected)
    np.testing.assert_array_equal(written((3, 4, 32), parts, "Q8_0"), round_rows("Q8_0", expected.reshape(12, 32)))


def test_biases_of_experts_are_rows() -> None:
    whole = Weight("t", (2, 5))
    parts = {f"e{i}": (drawn(5), Stored(whole, matrix=i)) for i in range(2)}
    np.testing.assert_array_equal(written((2, 5), parts).view("<f4"), np.stack([parts["e0"][0], parts["e1"][0]]))


def test_rows_of_several_weights_and_of_vectors() -> None:
    matrix, vector = Weight("t", (5, 32)), Weight("b", (5,))
    up, down = drawn(2, 32), drawn(3, 32)
    forms = {"up": (up, Stored(matrix, rows=RowRuns(3, 2))), "down": (down, Stored(matrix, rows=RowRuns(0, 3)))}
    np.testing.assert_array_equal(written((5, 32), forms).view("<f4"), np.concatenate([down, up]))
    flat = {
        "up": (up[:, 0], Stored(vector, rows=RowRuns(3, 2))),
        "down": (down[:, 0], Stored(vector, rows=RowRuns(0, 3))),
    }
    np.testing.assert_array_equal(written((5,), flat).view("<f4")[0], np.concatenate([down[:, 0], up[:, 0]]))


def test_heads_are_interleaved_in_matrices_and_biases() -> None:
    order = split_halves(8, 2)
    matrix, vector = drawn(8, 32), drawn(8)
    stored = written((8, 32), {"q": (matrix, Stored(Weight("t", (8, 32))))}, heads=2).view("<f4")
    np.testing.assert_array_equal(stored[order], matrix)
    stored = written((8,), {"q": (vector, Stored(Weight("t", (8,))))}, heads=2).view("<f4")[0]
    np.testing.assert_array_equal(stored[order], vector)


def test_what_lies_transposed_or_without_one() -> None:
    matrix, norm = drawn(3, 4), drawn(4)
    stored = written((4, 3), {"w": (matrix, Stored(Weight("t", (4, 3)), transposed=True))}, "BF16").view("<u2")
    np.testing.assert_allclose((stored.astype("<u4") << 16).view("<f4"), matrix.T, rtol=2**-8)
    stored = written((4,), {"n": (norm, Stored(Weight("t", (4,)), added=1.0))}).view("<f4")[0]
    np.testing.assert_array_equal(stored, norm - np.float32(1))


def test_codes_go_to_their_rows() -> None:
    codes = GENERATOR.integers(-127, 128, (8, 32)).astype(np.int8)
    weight = Int8(codes, np.linspace(1, 2, 8).astype(np.float16)[:, None], 32)
    form = Stored(Weight("t", (8, 32)))
    planned = PlannedTensor(WrittenTensor("t", (8, 32), BY_NAME["Q8_0"]), (("q", form),), 2, kept=True)
    data, _ = tensor_bytes(planned, lambda name: weight)
    np.testing.assert_array_equal(data.view(BY_NAME["Q8_0"].layout)["codes"][:, 0][split_halves(8, 2)], codes)


@pytest.mark.parametrize(("value", "name"), [(np.nan, "F32"), (np.inf, "Q8_0"), (1e5, "F16"), (1e8, "Q4_1")])
def test_values_that_cannot_be_written_are_refused_by_name(value: float, name: str) -> None:
    values = drawn(2, 32)
    values[1, 3] = value
    with pytest.raises(FormatError, match="the weight"):
        written((2, 32), {"the weight": (values, Stored(Weight("t", (2, 32))))}, name)
