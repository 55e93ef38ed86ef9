"""RMSNorm and rotation with gradients written out: fewer passes over memory than torch makes of their parts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def rms_norm(x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    """x [..., width] over its last axis, times `weight` [width], computed in float32 and given in `dtype`."""
    result: Tensor = _RmsNorm.apply(x, weight, eps, dtype)  # type: ignore[no-untyped-call]
    return result


def rotate(x: Tensor, cos: Tensor, sin: Tensor, *, interleaved: bool) -> Tensor:
    """Rotates pairs of the first 2 * pairs features of x [..., head_dim]; cos, sin [..., pairs] as x is but for heads.
    Computed in float32, and given in the type of x."""
    result: Tensor = _Rotate.apply(x, cos, sin, interleaved)  # type: ignore[no-untyped-call]
    return result


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
        x = x.float()
        scale = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, scale)
        result: Tensor = (x * scale).mul_(weight).to(dtype)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, scale = ctx.saved_tensors
        normed = x * scale
        gradient = gradient.float()
        of_weight = (gradient * normed).reshape(-1, x.shape[-1]).sum(0) if ctx.needs_input_grad[1] else None
        inner = gradient * weight
        along = (inner * normed).mean(-1, keepdim=True)
        return inner.addcmul_(normed, along, value=-1).mul_(scale), of_weight, None, None


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor, interleaved: bool) -> Tensor:
        ctx.save_for_backward(cos, sin)
        ctx.interleaved = interleaved
        return _turned(x, cos, sin, interleaved)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        cos, sin = ctx.saved_tensors
        return _turned(gradient, cos, -sin, ctx.interleaved), None, None, None


def _turned(x: Tensor, cos: Tensor, sin: Tensor, interleaved: bool) -> Tensor:
    width = 2 * cos.shape[-1]
    result = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    if interleaved:
        places = slice(0, width, 2), slice(1, width, 2)
    else:
        places = slice(0, width // 2), slice(width // 2, width)
    first, second = (x[..., place].float() for place in places)
    result[..., places[0]] = (first * cos).addcmul_(second, sin, value=-1)
    result[..., places[1]] = (second * cos).addcmul_(first, sin)
    result[..., width:] = x[..., width:]
    return result
