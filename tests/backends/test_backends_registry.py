from __future__ import annotations

import importlib
import subprocess
import sys
from dataclasses import fields

import pytest

from honed.backends.options import RunOptions
from honed.backends.registry import BACKENDS, find, takers
from honed.errors import ParameterError


@pytest.mark.parametrize("name", BACKENDS)
def test_every_line_leads_to_a_backend(name: str) -> None:
    module, _, attribute = BACKENDS[name].home.partition(":")
    found = getattr(importlib.import_module(module), attribute)
    assert callable(found.configure)
    assert callable(found.load)
    assert set(BACKENDS[name].takes) < {field.name for field in fields(RunOptions)}


@pytest.mark.parametrize("name", BACKENDS)
def test_what_honed_does_not_depend_on_is_said_to_be_installed(name: str) -> None:
    assert (BACKENDS[name].needs is None) == (BACKENDS[name].installs == "")


def test_knowing_of_them_imports_none() -> None:
    program = (
        "import sys, honed.backends.options as o; o.RunOptions(backend='pytorch');"
        "print(sorted(m for m in sys.modules if m in ('torch', 'honed.backends.native', 'honed.backends.pytorch')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_names() -> None:
    assert find("native") is BACKENDS["native"]
    with pytest.raises(ParameterError, match="backend = 'nativ': did you mean native"):
        find("nativ")
    assert takers("isa") == ["native"]
