"""Signals while a directory is staged: in processes of their own, which get real ones."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from honed.checkpoints.artifact.interruption import interruptible
from honed.checkpoints.artifact.staging import staged_directory

SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from honed.checkpoints.artifact import envelope, staging
def send(name): os.kill(os.getpid(), getattr(signal, name))
def sending(place, name, *signals):
    done = getattr(place, name)
    def call(*given, **named):
        for one in signals: send(one)
        return done(*given, **named)
    setattr(place, name, call)
target = Path(sys.argv[1])
signal.signal(signal.SIGINT, signal.default_int_handler)
%s
with staging.staged_directory(target, needed=0, replaces="anything") as d:
    (d / "mark").write_text("new")
    %s
print("done")
"""


def run(target: Path, before: str, body: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SCRIPT % (before, body), str(target)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    with staged_directory(tmp_path / "out", needed=0) as directory:
        (directory / "mark").write_text("old")
    return tmp_path / "out"


def state(target: Path) -> tuple[str, list[str]]:
    return (target / "mark").read_text(), sorted(path.name for path in target.parent.iterdir())


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
@pytest.mark.parametrize("then", [[], ["SIGINT"], ["SIGTERM", "SIGINT", "SIGHUP"]])
def test_a_signal_and_more_while_it_tidies_up(target: Path, name: str, then: list[str]) -> None:
    done = run(target, f"sending(envelope.Envelope, 'remove', *{then})", f"send('{name}'); time.sleep(1)")
    assert state(target) == ("old", ["out"])
    assert done.returncode == -getattr(signal, name), done
    assert ("KeyboardInterrupt" in done.stderr) == (name == "SIGINT")
    assert done.stdout == ""


def test_an_impatient_second_one_before_the_tidying_up_has_begun(target: Path) -> None:
    body = "try:\n        send('SIGINT')\n    finally:\n        send('SIGTERM'); send('SIGINT')"
    done = run(target, "", body)
    assert state(target) == ("old", ["out"])
    assert done.returncode == -signal.SIGINT, done


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_one_that_comes_while_the_new_one_is_put_in_place_waits_for_that(target: Path, name: str) -> None:
    done = run(target, f"sending(staging, 'exchange', '{name}')", "pass")
    assert state(target) == ("new", ["out"])
    assert done.returncode == -getattr(signal, name), done


def test_a_handler_of_the_program_decides_and_is_there_again_afterwards(target: Path) -> None:
    before = "class Stop(BaseException): pass\ndef stop(*_): raise Stop\nsignal.signal(signal.SIGTERM, stop)"
    done = run(target, before, "send('SIGTERM')")
    assert state(target) == ("old", ["out"])
    assert done.returncode == 1
    assert "Stop" in done.stderr
    quiet = "seen = []\nsignal.signal(signal.SIGTERM, lambda *_: seen.append(1))"
    done = run(target, quiet, "send('SIGTERM'); send('SIGTERM'); assert len(seen) == 2")
    assert (done.returncode, state(target)) == (0, ("new", ["out"])), done


def test_ignored_ones_stay_ignored(target: Path) -> None:
    done = run(target, "signal.signal(signal.SIGHUP, signal.SIG_IGN)", "send('SIGHUP')")
    assert (done.returncode, state(target)) == (0, ("new", ["out"])), done


def test_other_threads_change_nothing() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    seen: list[bool] = []

    def work() -> None:
        with interruptible() as signals, signals.allowed():
            seen.append({number: signal.getsignal(number) for number in before} == before)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [True]
    with interruptible():
        assert signal.getsignal(signal.SIGTERM) != before[signal.SIGTERM]
    assert {number: signal.getsignal(number) for number in before} == before
