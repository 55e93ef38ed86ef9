"""Signals at every moment of a command, and what becomes of them inside an import."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import honed
from chatty_model import with_template
from honed.cli.signals import exit_code

# Says when `main` begins: before that no line of honed has run, and Python itself answers.
BEGUN = """
import os
from honed.cli.main import main
from honed.cli.signals import Signals
install = Signals.install
Signals.install = lambda self: (install(self), os.write(1, b"+"))
main()
"""
SAID = {
    signal.SIGINT: "honed: interrupted\n",
    signal.SIGTERM: "honed: ended by SIGTERM\n",
    signal.SIGHUP: "honed: ended by SIGHUP, the terminal is gone\n",
}


def signalled(words: list[str], delay: float, number: int = signal.SIGINT, program: str = BEGUN) -> tuple[int, str]:
    """Exit code and standard error of a command that got a signal so many seconds after it began to listen."""
    with subprocess.Popen(
        [sys.executable, "-c", program, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.read(1) == b"+"
        time.sleep(delay)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
        return process.returncode, stderr.decode()


@pytest.mark.parametrize("delay", [step / 200 for step in range(0, 81, 2)])
@pytest.mark.parametrize("verb", ["generate", "sampled", "eval", "help"])
def test_ctrl_c_at_any_moment(verb: str, delay: float, tiny_llama: Path) -> None:
    words = {
        "generate": ["generate", str(tiny_llama), "the", "--max-tokens", "200"],
        "sampled": ["generate", str(tiny_llama), "the", "--max-tokens", "200", "--temperature", "1", "--json"],
        "eval": ["eval", str(tiny_llama)],
        "help": ["bench", "--help"],
    }[verb]
    code, stderr = signalled(words, delay)
    assert (code, stderr) == (130, SAID[signal.SIGINT]) or code == 0, stderr
    assert "Traceback" not in stderr
    assert "ignored" not in stderr


@pytest.mark.parametrize("number", SAID)
@pytest.mark.parametrize("delay", [0.0, 0.3])
def test_each_signal_has_its_exit_code(number: signal.Signals, delay: float, tiny_llama: Path, tmp_path: Path) -> None:
    # Waits for its input for ever.
    found = signalled(["chat", str(with_template(tiny_llama, tmp_path / "model"))], delay, number)
    assert found == (exit_code(number), SAID[number])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
def test_what_was_ignored_stays_ignored(number: signal.Signals) -> None:
    program = f"import signal; signal.signal({int(number)}, signal.SIG_IGN)\n" + BEGUN
    assert signalled(["doctor"], 0.0, number, program) == (0, "")


CLEANING = """
import os, sys, time
import honed.cli.doctor as doctor
from honed.cli.main import main
def examine():
    try:
        os.write(1, b"+")
        {work}
    finally:
        time.sleep(0.3)  # the second signal comes here
        sys.stderr.write("cleaned\\n")
doctor.examine = examine
main()
"""


@pytest.mark.parametrize("number", SAID)
def test_finally_blocks_run_to_their_end_whatever_comes_meanwhile(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CLEANING.format(work="time.sleep(60)"), "doctor"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    ) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        for _ in range(3):
            process.send_signal(number)
            time.sleep(0.05)
        _, stderr = process.communicate(timeout=60)
        assert (process.returncode, stderr.decode()) == (exit_code(number), "cleaned\n" + SAID[number])


def test_an_import_is_not_broken_into(tmp_path: Path) -> None:
    (tmp_path / "slow_library.py").write_text("import time\ntime.sleep(0.5)\nloaded = True\n")
    work = "import slow_library; sys.stderr.write(f'{slow_library.loaded}\\n'); time.sleep(60)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    with subprocess.Popen(
        [sys.executable, "-c", CLEANING.format(work=work), "doctor"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env=environment,
    ) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    lines = stderr.decode().splitlines()
    # It is raised once the library is there, whether or not the line after it was still reached.
    assert lines[-2:] == ["cleaned", "honed: interrupted"], lines
    assert lines[:-2] in (["True"], []), lines


def test_what_a_finalizer_swallows_is_raised_again() -> None:
    work = "\n        ".join(
        [
            "class Slow:",
            "    def __del__(self): time.sleep(0.5)",
            "Slow()",
            "time.sleep(60)",
        ]
    )
    with subprocess.Popen(
        [sys.executable, "-c", CLEANING.format(work=work), "doctor"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    ) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
        assert (process.returncode, stderr.decode()) == (130, "cleaned\nhoned: interrupted\n")


def test_an_alarm_does_not_outlive_the_command(tmp_path: Path) -> None:
    (tmp_path / "ends_at_once.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nraise SystemExit(0)\n"
    )
    program = (
        "import signal\nimport honed.cli.doctor as doctor, honed.cli.signals as signals\n"
        "from honed.cli.main import main\n"
        "def examine(): import ends_at_once\n"
        "doctor.examine, signals._AGAIN_S = examine, 5\nmain()\n"
        "print(signal.getitimer(signal.ITIMER_REAL), signal.getsignal(signal.SIGALRM) is signal.SIG_IGN)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, "-c", program, "doctor"], capture_output=True, text=True, check=False, env=environment
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "(0.0, 0.0) True\n", "")


def test_nothing_is_imported_before_main_begins() -> None:
    # -S: an editable installation finds the package by a finder of its own, which imports more.
    place = str(Path(honed.__file__).parents[1])
    program = (
        f"import os, sys; sys.path.insert(0, {place!r}); before = set(sys.modules); import honed.cli.main; "
        "print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['honed', 'honed.cli', 'honed.cli.main']"
