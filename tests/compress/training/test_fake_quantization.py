"""Rounding in training is that of the encoders to the bit where the grid is theirs, and gradients pass it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from honed.compress.training import fake_quantization
from honed.compress.training.fake_quantization import FakeQuantization, Rounding, grid_of
from honed.encodings.codebook import TABLES, CodebookScheme
from honed.encodings.dense import Dense
from honed.encodings.descriptor import Scheme
from honed.encodings.encode import encode
from honed.encodings.int4 import Int4Scheme
from honed.encodings.int8 import Int8Scheme

CPU = torch.device("cpu")
SCHEMES: list[Scheme] = [
    Int8Scheme(None),
    Int8Scheme(32),
    Int4Scheme(32, "symmetric"),
    Int4Scheme(64, "zero_point"),
    Int4Scheme(32, "minimum"),
    CodebookScheme(32, TABLES["normal_float"]),
]


def weight() -> torch.Tensor:
    values = torch.randn(6, 128, generator=torch.Generator().manual_seed(3))
    values[2, 32:64] = 0.0  # a group without a scale
    return values


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
@pytest.mark.parametrize("search", [False, True])
def test_rounding_to_the_grid_of_an_encoder_gives_what_it_decodes_to(scheme: Scheme, search: bool) -> None:
    made = FakeQuantization({"w": Rounding(scheme, search)}, threads=1)
    given = {"w": weight(), "norm": torch.ones(3)}
    made.refresh(given)
    found = made.rounded(given)
    encoded = encode(Dense(weight().numpy(), "float32"), scheme, name="w", search=search)
    expected = encoded.decode()
    # The nearest value of a grid; a search may have left a code a tie away.
    scale = np.abs(expected).max()
    assert np.mean(np.abs(found["w"].numpy() - expected) > 1e-5 * scale) < (0.005 if search else 1e-9)
    assert found["norm"] is given["norm"]


def test_gradients_pass_as_if_nothing_were_rounded() -> None:
    made = FakeQuantization({"w": Rounding(Int4Scheme(32, "symmetric"), False)}, threads=1)
    own = weight().requires_grad_()
    made.refresh({"w": own})
    aim = torch.randn(6, 128)
    (made.rounded({"w": own})["w"] * aim).sum().backward()  # type: ignore[no-untyped-call]
    assert own.grad is not None
    torch.testing.assert_close(own.grad, aim)


def test_a_grid_stays_until_it_is_refreshed_and_is_remembered() -> None:
    rounding = {"w": Rounding(Int4Scheme(32, "zero_point"), False)}
    made, again = FakeQuantization(rounding, threads=1), FakeQuantization(rounding, threads=1)
    made.refresh({"w": weight()})
    moved = {"w": weight() * 0.5}
    before = made.rounded(moved)["w"]
    again.restore(made.state(), CPU)
    assert torch.equal(again.rounded(moved)["w"], before)
    made.refresh(moved)
    assert not torch.equal(made.rounded(moved)["w"], before)


def test_an_encoding_without_a_grid_is_asked_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake_quantization, "grid_of", lambda weight, device: None)
    made = FakeQuantization({"w": Rounding(Int8Scheme(32), False)}, threads=1)
    made.refresh({"w": weight()})
    assert made.state() == {}
    expected = encode(Dense(weight().numpy(), "float32"), Int8Scheme(32), name="w").decode()
    np.testing.assert_allclose(made.rounded({"w": weight()})["w"].numpy(), expected, atol=1e-6)
    assert grid_of(Dense(weight().numpy(), "float32"), CPU) is None
