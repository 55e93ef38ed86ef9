"""What a job keeps comes back as it was, in its encoding, or not at all."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from honed.checkpoints.job.kept_tensors import load_weight, load_windows, save_weight, save_windows
from honed.compress.weights import DeferredWeight
from honed.encodings.base import Encoded
from honed.encodings.codebook import TABLES, CodebookScheme
from honed.encodings.dense import Dense, DenseScheme, float32_to_bfloat16
from honed.encodings.encode import encode
from honed.encodings.int4 import Int4Scheme
from honed.encodings.int8 import Int8Scheme
from honed.encodings.scheme import scheme_of
from honed.notes import HonedWarning

VALUES = np.random.default_rng(3).standard_normal((6, 64)).astype(np.float32)
SOURCE = Dense(VALUES, "float32")
SCHEMES = (
    Int8Scheme(None, None),
    Int8Scheme(32, 32),
    Int4Scheme(32, "symmetric", 32),
    Int4Scheme(64, "zero_point", None),
    Int4Scheme(32, "minimum", 32),
    CodebookScheme(32, TABLES["normal_float"], 32),
)
NAME = "model.layers.0.mlp.up_proj.weight"


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_an_encoded_weight_comes_back_to_the_bit(scheme: Int8Scheme, tmp_path: Path) -> None:
    weight = encode(SOURCE, scheme, name=NAME)
    save_weight(tmp_path / "w", NAME, weight)
    found = load_weight(tmp_path / "w", NAME)
    assert found is not None
    assert scheme_of(found) == scheme
    assert (found.shape, found.nbytes, found.decode().tobytes()) == (
        weight.shape,
        weight.nbytes,
        weight.decode().tobytes(),
    )
    assert [path.name for path in tmp_path.iterdir()] == ["w"]
    assert load_weight(tmp_path / "w", "another") is None
    assert load_weight(tmp_path / "none", NAME) is None


@pytest.mark.parametrize(
    ("weight", "dtype"),
    [
        (SOURCE, "float32"),
        (Dense(VALUES.astype(np.float16), "float16"), "float16"),
        (Dense(float32_to_bfloat16(VALUES), "bfloat16"), "bfloat16"),
        (Dense(VALUES[0], "float32"), "float32"),
        (DeferredWeight(SOURCE, lambda: SOURCE), "float32"),
    ],
)
def test_what_is_not_encoded_keeps_its_values(weight: Encoded, dtype: str, tmp_path: Path) -> None:
    save_weight(tmp_path / "w", NAME, weight)
    found = load_weight(tmp_path / "w", NAME)
    assert found is not None
    assert scheme_of(found) == DenseScheme(dtype)  # type: ignore[arg-type]
    assert found.decode().tobytes() == weight.decode().tobytes()


def test_windows_come_back(tmp_path: Path) -> None:
    windows = np.arange(12, dtype=np.int32).reshape(3, 4)
    save_windows(tmp_path / "c", windows)
    found = load_windows(tmp_path / "c")
    assert found is not None
    np.testing.assert_array_equal(found, windows)
    assert load_windows(tmp_path / "none") is None


def test_every_damaged_byte_is_found(tmp_path: Path) -> None:
    path = tmp_path / "w"
    save_weight(path, NAME, encode(SOURCE, Int4Scheme(32, "symmetric", 32), name=NAME))
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for at in (*range(0, len(data), 23), *(int(one) for one in rng.integers(0, len(data), 20))):
        path.write_bytes(data[:at] + bytes([data[at] ^ 8]) + data[at + 1 :])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HonedWarning)
            assert load_weight(path, NAME) is None, at
    for size in (0, 7, 100, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.warns(HonedWarning, match="damaged"):
            assert load_weight(path, NAME) is None
