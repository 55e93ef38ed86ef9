"""Names of activations, each against the one of transformers."""

from __future__ import annotations

import pytest
import torch

from honed.errors import UnsupportedError
from honed.models.activations import UNGATED_ACTIVATIONS, read_ungated
from honed.models.config import Fields
from honed.ops.reference import GrowingStore, Rows, Step, activate
from honed.ops.table import Activate

STEP = Step({}, Rows.single(torch.arange(1)), GrowingStore())


@pytest.mark.parametrize("name", UNGATED_ACTIVATIONS)
def test_a_name_means_what_it_does_in_transformers(name: str) -> None:
    from transformers.activations import ACT2FN

    x = torch.linspace(-5, 5, 101).reshape(1, -1)
    found = activate(Activate((0,), read_ungated(Fields({"act": name}, "c"), "act", "relu")), STEP, x)
    torch.testing.assert_close(found, ACT2FN[name](x), atol=1e-5, rtol=1e-5)


def test_others_are_refused() -> None:
    assert read_ungated(Fields({}, "c"), "act", "relu") == "relu"
    with pytest.raises(UnsupportedError, match="c: act 'mish' is not supported; supported are gelu, gelu_fast"):
        read_ungated(Fields({"act": "mish"}, "c"), "act", "relu")
