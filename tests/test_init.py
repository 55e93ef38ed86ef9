from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import honed


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_public_name_resolves() -> None:
    for name in honed.__all__:
        assert getattr(honed, name) is not None
    assert set(dir(honed)) == set(honed.__all__)


def test_the_verbs_stay_functions_after_their_folders_are_imported() -> None:
    program = """
import honed
import honed.compress, honed.evaluate
from honed.compress import __doc__ as text
import sys, types
assert isinstance(sys.modules["honed.compress"], types.ModuleType)
assert isinstance(honed.compress, types.FunctionType), honed.compress
assert isinstance(honed.evaluate, types.FunctionType), honed.evaluate
from honed import compress
assert compress is honed.compress
"""
    run(program)


def test_import_loads_nothing_heavy() -> None:
    modules = run("import sys; before = set(sys.modules); import honed; print(*sorted(set(sys.modules) - before))")
    assert {name.partition(".")[0] for name in modules.split()} <= {"honed", "importlib", "types", "typing"} | set(
        sys.stdlib_module_names
    )
    assert [name for name in modules.split() if name.startswith("honed")] == ["honed"]


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'loda'"):
        honed.loda


def test_the_version_is_that_of_the_package() -> None:
    pyproject = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
    assert honed.__version__ == pyproject["project"]["version"]
