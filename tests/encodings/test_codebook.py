"""Tables against the published values, rounding against a search over all codes, and what is refused."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from honed.encodings.codebook import TABLES, Codebook, StoredCodebook, Table, check_table, table_name
from honed.encodings.codebook_encoder import encode_codebook
from honed.encodings.dense import Dense
from honed.encodings.int4_encoder import encode_int4
from honed.encodings.scheme import scheme_of
from honed.errors import ParameterError, UnsupportedError

# Dettmers et al. 2023, appendix E.
NF4_BELOW = (-1.0, -0.6961928, -0.5250731, -0.3949175, -0.2844414, -0.1847734, -0.0910500)
NF4_ABOVE = (0.0795803, 0.1609302, 0.2461123, 0.3379152, 0.4407098, 0.5626170, 0.7229568, 1.0)
UNEVEN: Table = (-100, -90, -3, -2, -1, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 40)
tables = pytest.mark.parametrize("table", [*TABLES.values(), UNEVEN], ids=[*TABLES, "uneven"])


def encode(values: NDArray[np.floating], table: Table, *, search: bool = True, group: int = 32) -> Codebook:
    weight = Dense(np.ascontiguousarray(values, np.float32), "float32")
    return encode_codebook(weight, name="w", table=table, group=group, search=search)


def normal(rows: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).standard_normal((rows, width)) * 0.05).astype(np.float32)


def test_normal_float_is_quantiles() -> None:
    outermost = 1 - (1 / 32 + 1 / 30) / 2
    quantile = NormalDist().inv_cdf

    def side(count: int) -> list[float]:
        return [quantile(0.5 + (outermost - 0.5) * step / count) for step in range(1, count + 1)]

    values = [-value for value in reversed(side(7))] + [0.0] + side(8)
    assert TABLES["normal_float"] == tuple(round(value * 127 / quantile(outermost)) for value in values)


def test_normal_float_is_the_published_table() -> None:
    published = np.array([*NF4_BELOW, 0, *NF4_ABOVE])
    assert np.abs(np.array(TABLES["normal_float"]) / 127 - published).max() <= 0.5 / 127 + 1e-5


def test_the_other_tables() -> None:
    assert TABLES["linear"] == tuple(range(-8, 8))
    powers = np.array(TABLES["power_of_two"])
    assert sorted(np.abs(powers[powers != 0])) == sorted([2**k for k in range(8)] + [2**k for k in range(7)])
    for table in TABLES.values():
        check_table(table)
        assert 0 in table
    assert [table_name(table) for table in TABLES.values()] == list(TABLES)
    assert table_name(UNEVEN).startswith("[-100, ")


@tables
@pytest.mark.parametrize("search", [False, True])
@pytest.mark.parametrize("width", [64, 70])
def test_every_code_is_the_nearest_under_its_scale(table: Table, search: bool, width: int) -> None:
    values = normal(6, width)
    made = encode(values, table, search=search)
    scales = np.repeat(made.scales.astype(np.float64), 32, axis=1)[:, :width]
    errors = np.abs(values[..., None] - scales[..., None] * np.array(table, dtype=np.float64))
    chosen = np.take_along_axis(errors, made.codes[..., None].astype(np.intp), axis=2)[..., 0]
    assert (chosen <= errors.min(axis=2) + 1e-6 * np.abs(scales)).all()
    np.testing.assert_allclose(made.decode(), scales * np.array(table)[made.codes], rtol=1e-6)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    table=st.sampled_from([*TABLES.values(), UNEVEN]),
    group=st.sampled_from([32, 64, 128]),
    width=st.integers(1, 150),
    size=st.floats(-5, 3),
)
def test_the_search_never_loses(seed: int, table: Table, group: int, width: int, size: float) -> None:
    values = (normal(3, width, seed) * 10**size).astype(np.float32)
    errors = []
    for search in (False, True):
        squared = (encode(values, table, search=search, group=group).decode().astype(np.float64) - values) ** 2
        filled = np.pad(squared, ((0, 0), (0, -width % group)))
        errors.append(filled.reshape(3, -1, group).sum(axis=2))
    assert (errors[1] <= errors[0] * (1 + 1e-5) + 1e-30).all()


@tables
def test_weights_on_the_values_of_a_table_come_back_exactly(table: Table) -> None:
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 16, (8, 96))
    codes[:, ::32] = int(np.argmax(np.abs(table)))  # so that the covering scale is the true one
    values = np.array(table, dtype=np.float32)[codes] * np.float32(2.0**-9)
    for search in (False, True):
        np.testing.assert_array_equal(encode(values, table, search=search).decode(), values)


def test_normal_values_lose_least_in_the_normal_table() -> None:
    values = normal(64, 1024)

    def error(decoded: NDArray[np.float32]) -> float:
        return float(np.linalg.norm(decoded - values) / np.linalg.norm(values))

    by_table = {name: error(encode(values, table, group=128).decode()) for name, table in TABLES.items()}
    assert by_table["normal_float"] < by_table["linear"] < by_table["power_of_two"]
    int4 = encode_int4(Dense(values, "float32"), name="w", offset="symmetric", group=128)
    assert by_table["linear"] == pytest.approx(error(int4.decode()), rel=0.02)


def test_zero_and_chunks() -> None:
    assert not encode(np.zeros((2, 40)), TABLES["normal_float"]).decode().any()
    values = Dense(normal(900, 160), "float32")
    alone, together = (
        encode_codebook(values, name="w", table=TABLES["normal_float"], threads=threads) for threads in (1, 3)
    )
    np.testing.assert_array_equal(alone.codes, together.codes)
    np.testing.assert_array_equal(alone.scales, together.scales)


@pytest.mark.parametrize(
    "table", [(0,) * 16, tuple(range(15)), tuple(range(15, -1, -1)), (*range(15), 128), (*range(15), 15.5)]
)
def test_tables_that_are_none(table: Table) -> None:
    with pytest.raises(ParameterError, match="sixteen ascending integers"):
        check_table(table)
    with pytest.raises(ParameterError, match="sixteen ascending integers"):
        encode(normal(2, 32), table)


def test_what_is_refused() -> None:
    with pytest.raises(ParameterError, match="must be 32, 64 or 128"):
        encode(normal(2, 32), TABLES["linear"], group=48)
    with pytest.raises(UnsupportedError, match="must be finite"):
        encode(np.full((1, 32), np.nan), TABLES["linear"])
    with pytest.raises(UnsupportedError, match="cannot cover"):
        encode(np.full((1, 32), 1e9), TABLES["linear"])
    codes = np.zeros((2, 64), np.uint8)
    with pytest.raises(TypeError, match="scales must be float16"):
        Codebook(codes, np.ones((2, 1), np.float16), TABLES["linear"], 32)
    with pytest.raises(TypeError, match="matrix of uint8"):
        Codebook(codes.astype(np.int8), np.ones((2, 2), np.float16), TABLES["linear"], 32)


@pytest.mark.parametrize("width", [64, 71])
def test_a_stored_weight_is_what_it_was_stored_from(width: int) -> None:
    values = np.random.default_rng(width).standard_normal((9, width)).astype(np.float32)
    plain = encode_codebook(Dense(values, "float32"), name="w", table=TABLES["normal_float"])
    even = np.pad(plain.codes, ((0, 0), (0, width % 2)))
    pairs = even[:, 0::2] | (even[:, 1::2] << np.uint8(4))
    stored = StoredCodebook(pairs, width, scales=plain.scales, table=plain.table, group=32, activation=plain.activation)
    assert isinstance(stored, Codebook)
    assert (stored.shape, stored.nbytes, stored.kind) == (plain.shape, plain.nbytes, "codebook")
    assert scheme_of(stored) == scheme_of(plain)
    assert stored.codes.flags.c_contiguous
    assert np.array_equal(stored.codes, plain.codes)
    for rows in (slice(None), slice(2, 5), slice(8, None)):
        assert np.array_equal(stored.decode(rows), plain.decode(rows))
