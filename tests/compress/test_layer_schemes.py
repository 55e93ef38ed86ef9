"""Groups give way to widths; which weights are encoded, and by which setting, is tested with the pass that rounds."""

from __future__ import annotations

import pytest

from honed.compress.layer_schemes import fitting_scheme
from honed.compress.layer_settings import Setting
from honed.encodings.scheme import Int4Scheme, Int8Scheme, SparseScheme


def weight_setting(bits: int, group: int | None, activation: int | None = None) -> Setting:
    return Setting.model_validate({"weights": {"bits": bits, "group": group}, "activations": {"group": activation}})


SPARSE = Setting.model_validate({"weights": {"bits": 8, "group": 128, "sparse": 0.5}, "activations": {"group": 128}})


@pytest.mark.parametrize(
    ("setting", "width", "expected"),
    [
        (weight_setting(8, 128, 128), 576, Int8Scheme(64, 64)),
        (weight_setting(4, 128, 128), 96, Int4Scheme(32, offset="symmetric", activation_group=32)),
        (weight_setting(4, 64), 896, Int4Scheme(64, offset="symmetric")),
        (weight_setting(4, 32, 32), 80, Int8Scheme(None, None)),
        (weight_setting(8, 32, 32), 100, Int8Scheme(None, None)),
        (weight_setting(8, None, 128), 160, Int8Scheme(None, 32)),
        (weight_setting(8, None), 7, Int8Scheme(None, None)),
        (SPARSE, 576, SparseScheme(0.5, 64, 64)),
        (SPARSE, 100, Int8Scheme(None, None)),
    ],
)
def test_groups_give_way_to_the_width(setting: Setting, width: int, expected: object) -> None:
    assert fitting_scheme(setting, width, "symmetric") == expected
