"""What is free: of the machine, and less where the control group of the process has less."""

from __future__ import annotations

from pathlib import Path

import pytest

from honed.backends import free_memory as module
from honed.backends.free_memory import free_memory


def test_it_is_some() -> None:
    assert free_memory() > 1 << 20


def test_a_control_group_bounds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    most, used = tmp_path / "memory.max", tmp_path / "memory.current"
    most.write_text("5000\n")
    used.write_text("2000\n")
    monkeypatch.setattr(module, "_CGROUP", (most, used))
    assert free_memory() == 3000
    used.write_text("9000\n")
    assert free_memory() == 0
    most.write_text("max\n")
    assert free_memory() > 1 << 20
