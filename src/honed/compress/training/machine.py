"""What of this machine a training runs on: device, threads, and the type of its products."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from honed.compress.training.settings import Precision
from honed.errors import MachineError
from honed.native import extension


def choose_device(asked: str) -> torch.device:
    """MachineError for cuda where there is none."""
    if asked == "cuda" and not torch.cuda.is_available():
        raise MachineError("device cuda: torch finds none here; take cpu or auto")
    if asked == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(asked)


def choose_dtype(asked: Precision, device: torch.device) -> torch.dtype:
    """bfloat16 where it is asked for, or the device multiplies in it faster than in float32."""
    if asked == "auto":
        fast = torch.cuda.is_bf16_supported() if device.type == "cuda" else has_fast_bfloat16()
        return torch.bfloat16 if fast else torch.float32
    return torch.bfloat16 if asked == "bfloat16" else torch.float32


def has_fast_bfloat16() -> bool:
    """Whether the processor has tiles of bfloat16: five times float32. vdpbf16ps alone gains nothing in torch that
    conversions do not cost."""
    return "amx_bf16" in extension.features()["instruction_sets"]


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """So many for torch, and as many as before behind it."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
