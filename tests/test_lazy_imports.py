"""The stand-in of a library, with a library of its own that takes a while to import and can be imported once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pytest

from honed import lazy_imports

SLOW = """
import pathlib, time
marker = pathlib.Path(__file__).with_name("begun")
assert not marker.exists(), "imported twice"
marker.touch()
time.sleep(1)
value = 7
"""


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    (tmp_path / "slow_to_import.py").write_text(SLOW)
    return tmp_path


def test_it_is_the_module_of_that_name() -> None:
    assert lazy_imports.numpy.ndarray is numpy.ndarray
    with pytest.raises(AttributeError, match="no_such_name"):
        getattr(lazy_imports.numpy, "no_such_name")  # noqa: B009


def test_a_missing_library_is_an_import_error() -> None:
    with pytest.raises(ImportError, match="no_such_library_of_honed"):
        lazy_imports._Lazy("no_such_library_of_honed").value


def test_ctrl_c_does_not_leave_a_library_half_imported(slow: Path) -> None:
    program = """
from honed.lazy_imports import _Lazy
module = _Lazy("slow_to_import")
try:
    module.value
except KeyboardInterrupt:
    print("interrupted", module.value)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(slow), os.environ.get("PYTHONPATH", "")])},
    ) as process:
        while not (slow / "begun").exists():
            assert process.poll() is None, "ended before it imported"
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60)[0] == "interrupted 7\n"
