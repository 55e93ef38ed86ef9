from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref

import pytest

from honed.runtime.owned_thread import OwnedThread


class Owner:
    pass


def _wait(stopped: threading.Event) -> None:
    assert stopped.wait(60)


def test_it_stops_when_its_owner_is_gone() -> None:
    owner, stopped = Owner(), threading.Event()
    thread = OwnedThread(owner, lambda: _wait(stopped), stopped.set, "owned")
    assert not stopped.is_set()
    del owner
    gc.collect()
    thread.join()
    assert stopped.is_set()


def test_one_that_has_ended_is_not_known_any_more() -> None:
    class Stop(threading.Event):
        pass

    owner, stopped = Owner(), Stop()
    gone = weakref.ref(stopped)
    thread = OwnedThread(owner, lambda: None, stopped.set, "owned")
    thread.join()
    del owner, stopped, thread
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("fork", [False, True])
def test_the_process_waits_for_it_but_a_forked_one_does_not(fork: bool) -> None:
    program = f"""
import os, sys, threading, time
sys.path[:0] = {sys.path!r}
from honed.runtime.owned_thread import OwnedThread
stopped = threading.Event()
def run():
    stopped.wait()
    time.sleep(0.2)
    os.write(1, b"done")
owner = type("Owner", (), {{}})()
thread = OwnedThread(owner, run, stopped.set, "owned")
if {fork} and os.fork() == 0:
    begun = time.monotonic()
    import atexit
    atexit._run_exitfuncs()
    os.write(1, b"child " if time.monotonic() - begun < 0.2 else b"slow ")
    os._exit(0)
if {fork}:
    os.wait()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.returncode) == ("child done" if fork else "done", 0), done.stderr
