"""What a training runs on."""

from __future__ import annotations

import pytest
import torch

from honed.compress.training import machine
from honed.compress.training.machine import choose_device, choose_dtype, torch_threads
from honed.errors import MachineError

CPU = torch.device("cpu")


def test_products_are_narrow_where_that_is_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_dtype("float32", CPU) == torch.float32
    assert choose_dtype("bfloat16", CPU) == torch.bfloat16
    for fast, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(machine, "has_fast_bfloat16", lambda fast=fast: fast)
        assert choose_dtype("auto", CPU) == expected


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == CPU
    with pytest.raises(MachineError, match="torch finds none here"):
        choose_device("cuda")


def test_threads_are_as_before_behind_it() -> None:
    before = torch.get_num_threads()
    with torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
