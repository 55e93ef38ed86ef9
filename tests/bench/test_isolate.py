from __future__ import annotations

import os
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
