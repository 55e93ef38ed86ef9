from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from honed.bench.isolate import WorkerError, call_isolated, peak_memory_bytes

FUNCTIONS = """
import os, signal, sys, time

def report(arguments, spawned):
    print("noise on stdout that must not harm the result")
    os.write(1, b"and noise from below python")
    return {"pid": os.getpid(), "seen": arguments, "age": time.monotonic() - spawned, "x": os.environ.get("PROBE_X")}

def refuse(arguments, spawned):
    from honed.errors import ParameterError
    raise ParameterError("threads", 0, "must be at least 1")

def crash(arguments, spawned):
    raise RuntimeError("the reason for it")

def leave(arguments, spawned):
    sys.exit(0)

def die(arguments, spawned):
    sys.stderr.write("last words\\n")
    sys.stderr.flush()
    os.kill(os.getpid(), signal.SIGKILL)

def hang(arguments, spawned):
    time.sleep(60)

def memory(arguments, spawned):
    from honed.bench.isolate import peak_memory_bytes
    before = peak_memory_bytes()
    block = bytearray(arguments["bytes"])
    del block
    return [before, peak_memory_bytes()]
"""


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "worker_functions.py").write_text(textwrap.dedent(FUNCTIONS))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    return "worker_functions"


def test_runs_elsewhere_with_arguments_environment_and_clock(functions: str) -> None:
    answer = call_isolated(f"{functions}:report", {"n": [1, 2]}, environment={"PROBE_X": "7"})
    assert answer["pid"] != os.getpid()
    assert answer["seen"] == {"n": [1, 2]}
    assert answer["x"] == "7"
    assert 0 < answer["age"] < 60


def test_expected_error_comes_back_as_its_message(functions: str) -> None:
    with pytest.raises(WorkerError, match=r"^threads = 0: must be at least 1$"):
        call_isolated(f"{functions}:refuse", {})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("crash", r"exit code 1: RuntimeError: the reason for it"),
        ("die", r"killed by SIGKILL \(perhaps out of memory\): last words"),
        ("leave", r"ended without a result"),
        ("absent", r"AttributeError.*absent"),
    ],
)
def test_failing_worker_is_told_with_its_last_line(functions: str, name: str, message: str) -> None:
    with pytest.raises(WorkerError, match=message):
        call_isolated(f"{functions}:{name}", {})


def test_hanging_worker_is_ended(functions: str) -> None:
    with pytest.raises(WorkerError, match="no result after 1 s"):
        call_isolated(f"{functions}:hang", {}, timeout_s=1)


def test_peak_memory_is_the_childs_own(functions: str) -> None:
    """A large parent must not show in the child, as it would in ru_maxrss."""
    held = bytearray(os.urandom(1)) * (300 << 20)
    assert peak_memory_bytes() > len(held)
    before, after = call_isolated(f"{functions}:memory", {"bytes": 64 << 20})
    assert before < 200 << 20
    assert after - before > 50 << 20


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An environment with nothing installed."""
    directory = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(directory)], check=True)
    return str(directory / "bin" / "python")


FOREIGN = """
import sys

def look(arguments, spawned):
    import honed.errors
    found = {}
    for name in ("numpy", "tokenizers", "honed._native", "honed.native"):
        try:
            __import__(name)
            found[name] = True
        except Exception as error:
            found[name] = type(error).__name__
    return {"prefix": sys.prefix, "honed": honed.errors.__file__, "found": found, "path": sys.path}
"""


def test_other_interpreter_has_honed_and_nothing_that_is_installed_beside_it(
    bare_python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import honed.errors

    (tmp_path / "foreign_functions.py").write_text(FOREIGN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    answer = call_isolated("foreign_functions:look", {}, interpreter=bare_python)
    assert Path(answer["prefix"]) == Path(bare_python).parent.parent
    assert answer["honed"] == honed.errors.__file__
    assert answer["found"]["numpy"] == answer["found"]["tokenizers"] == "ModuleNotFoundError"
    assert str(Path(honed.errors.__file__).parent.parent) not in answer["path"]


def test_other_interpreter_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match=r"absent cannot be started: No such file"):
        call_isolated("a:b", {}, interpreter=str(tmp_path / "absent"))
