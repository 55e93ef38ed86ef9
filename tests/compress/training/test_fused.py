"""Values and gradients against torch's own, in float64 where it matters."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from honed.compress.training.fused import rms_norm, rotate


def test_rms_norm_and_its_gradients() -> None:
    torch.manual_seed(1)
    x, weight, aim = torch.randn(3, 5, 24), torch.randn(24), torch.randn(3, 5, 24)
    own = x.clone().requires_grad_(), weight.clone().requires_grad_()
    other = x.clone().requires_grad_(), weight.clone().requires_grad_()
    found = rms_norm(*own, 1e-3, torch.float32)
    expected = functional.rms_norm(other[0], (24,), other[1], 1e-3)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    torch.autograd.backward([found, expected], [aim, aim])
    for one, same in zip(own, other, strict=True):
        torch.testing.assert_close(one.grad, same.grad, atol=1e-5, rtol=1e-5)
    assert rms_norm(x, weight, 1e-3, torch.bfloat16).dtype == torch.bfloat16


@pytest.mark.parametrize("interleaved", [False, True])
def test_rotation_and_its_gradient(interleaved: bool) -> None:
    torch.manual_seed(2)
    x, aim = torch.randn(2, 4, 3, 10), torch.randn(2, 4, 3, 10)
    angles = torch.randn(4, 1, 3)
    first, second = (x[..., 0:6:2], x[..., 1:6:2]) if interleaved else (x[..., :3], x[..., 3:6])
    turned = torch.complex(first, second) * torch.polar(torch.tensor(1.5), angles)
    own = x.clone().requires_grad_()
    result = rotate(own, 1.5 * angles.cos(), 1.5 * angles.sin(), interleaved=interleaved)
    places = (slice(0, 6, 2), slice(1, 6, 2)) if interleaved else (slice(0, 3), slice(3, 6))
    torch.testing.assert_close(result[..., places[0]], turned.real)
    torch.testing.assert_close(result[..., places[1]], turned.imag)
    torch.testing.assert_close(result[..., 6:], x[..., 6:])
    (result * aim).sum().backward()  # type: ignore[no-untyped-call]
    # A rotation is linear, and its gradient is what its matrix, turned over, makes of the aim.
    other = torch.randn_like(x)
    assert own.grad is not None
    with torch.no_grad():
        moved = rotate(other, 1.5 * angles.cos(), 1.5 * angles.sin(), interleaved=interleaved)
        torch.testing.assert_close((moved * aim).sum(), (other * own.grad).sum(), atol=1e-4, rtol=1e-5)
