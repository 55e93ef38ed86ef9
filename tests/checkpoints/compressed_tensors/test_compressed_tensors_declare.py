"""The config that says how weights lie, as the compressed-tensors library reads it, or refuses to."""

from __future__ import annotations

import pytest
from compressed_tensors.quantization import QuantizationConfig

from honed.checkpoints.compressed_tensors.declare import declared, ours_alone, quantization_config
from honed.encodings.codebook import TABLES
from honed.encodings.scheme import (
    SCHEMES,
    CodebookScheme,
    DenseScheme,
    Int4Scheme,
    Int8Scheme,
    Scheme,
    SparseScheme,
)


def test_the_config_is_one_that_the_library_accepts() -> None:
    schemes: dict[str, Scheme] = {
        "a.weight": Int8Scheme(None),
        "b.weight": Int4Scheme(32, offset="zero_point", activation_group=32),
        "c.weight": Int4Scheme(32, offset="zero_point"),
        "d.weight": Int8Scheme(32, 32),
    }
    written = quantization_config(schemes, dense_modules=("lm_head",), tied_table=None)
    parsed = QuantizationConfig.model_validate(written)
    by_target = {target: group for group in parsed.config_groups.values() for target in group.targets}
    assert set(by_target) == {"Linear", "a", "d"}
    assert by_target["Linear"].weights.num_bits == 4
    assert not by_target["Linear"].weights.symmetric
    assert by_target["Linear"].input_activations is None
    assert by_target["a"].input_activations.strategy == "token"
    assert (by_target["d"].format, by_target["a"].format) == ("pack-quantized", "int-quantized")
    assert written["format"] == "mixed-precision"
    assert written["ignore"] == ["lm_head"]


def test_activations_do_not_split_a_group_of_equal_weights() -> None:
    schemes: dict[str, Scheme] = {"a.weight": Int8Scheme(32, 32), "b.weight": Int8Scheme(32, None)}
    assert list(quantization_config(schemes, dense_modules=(), tied_table=None)["config_groups"]) == ["group_0"]


@pytest.mark.parametrize(
    ("scheme", "tied_table", "shown"),
    [
        (Int8Scheme(32, 32), "table.weight", "honed alone"),
        (Int8Scheme(None), "table.weight", "honed alone"),
        (Int4Scheme(32, "minimum"), None, "honed alone.*portable for other tools"),
        (CodebookScheme(32, TABLES["normal_float"]), None, "codebook"),
        (SparseScheme(0.5, 32, 32), None, "sparse"),
    ],
    ids=["table", "w8a8 table", "minimums", "codebook", "sparse"],
)
def test_what_others_cannot_read_they_refuse(scheme: Scheme, tied_table: str | None, shown: str) -> None:
    schemes = {"a.weight": Int8Scheme(32), "b.weight": Int8Scheme(32), "table.weight": scheme}
    written = quantization_config(schemes, dense_modules=(), tied_table=tied_table)
    with pytest.raises(ValueError, match=f"(?s){shown}"):
        QuantizationConfig.model_validate(written)


def test_dense_weights_that_others_do_not_look_for_are_refused() -> None:
    assert quantization_config({}, dense_modules=("a",), tied_table=None)["config_groups"] == {}
    written = quantization_config({}, dense_modules=("a",), tied_table=None, own_names=True)
    with pytest.raises(ValueError, match=r"(?s)honed alone"):
        QuantizationConfig.model_validate(written)


def test_every_encoding_is_declared_but_dense() -> None:
    ours: list[Scheme] = [CodebookScheme(32, TABLES["linear"]), SparseScheme(0.5, 32)]
    schemes: list[Scheme] = [Int8Scheme(None), Int4Scheme(32, "minimum"), *ours]
    assert [scheme for scheme in schemes if ours_alone(scheme)] == ours
    assert {scheme.name for scheme in schemes} == set(SCHEMES) - {"dense"}
    assert None not in map(declared, schemes)
    assert declared(DenseScheme("bfloat16")) is None
