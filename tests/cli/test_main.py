"""Every verb under every condition of its streams and its environment, as a process of its own."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import pytest

from chatty_model import with_template
from honed.cli.main import VERBS
from tiny_encoders import golden_encoder, with_tokenizer

PROGRAM = "from honed.cli.main import main; main()"
# As where a user has neither HOME nor an entry in the list of users.
HOMELESS = "import os, pwd; os.environ.pop('HOME', 0); pwd.getpwuid = lambda uid: {}[uid]; " + PROGRAM
TEXT = "the a of to and in is it you that he was for on are with as his they be at one have this from " * 40
# What verbs say beside their result: how much of how much is done, and remarks about a reply.
PROGRESS = re.compile(
    r"[^\x00-\x1f]*: \d+ of \d+( weights(, about [\d.]+ \w+ left)?)?"
    r"|note: .*|\(.*\)|honed: (no text in|the model ended|the reply holds) .*"
)


@pytest.fixture(scope="module")
def chatty(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_template(tiny_llama, tmp_path_factory.mktemp("chatty") / "model")


@pytest.fixture(scope="module")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(TEXT)
    path.with_name("rows.txt").write_text("the of\nto and\n")
    return path


def command(verb: str, model: Path, text: Path, out: Path) -> list[str]:
    """A line of the verb that goes well where nothing is in the way."""
    small = ["--prompt-tokens", "8", "--new-tokens", "3", "--threads", "1", "--runs", "1"]
    return {
        "generate": ["generate", str(model), "the of", "--max-tokens", "2"],
        "json": ["generate", str(model), "the of", "--max-tokens", "2", "--json", "--seed", "1"],
        "chat": ["chat", str(model), "--max-tokens", "2", "--temperature", "0"],
        "embed": ["embed", str(encoder()), "the of"],
        "run": ["run", str(model), str(text.with_name("rows.txt")), "-o", str(out / "a.jsonl"), "--overwrite", "--raw"],
        "compress": ["compress", str(model), "-o", str(out / "int8")],
        "eval": ["eval", str(model), "--text", str(text), "--windows", "1", "--window-tokens", "32"],
        "bench": ["bench", str(model), *small],
        "recipes": ["recipes"],
        "inspect": ["inspect", str(model), "--tensors"],
        "plan": ["inspect", str(model), "--plan"],
        "doctor": ["doctor"],
        "help": ["--help"],
        "verb help": ["eval", "--help"],
    }[verb]


EACH = (
    *("generate", "json", "chat", "embed", "compress", "eval", "bench", "inspect", "plan", "doctor", "help"),
    *("run", "recipes", "verb help"),
)


@cache
def encoder() -> Path:
    """Beside the one that it is a copy of, which goes when the process ends."""
    return with_tokenizer("bert", golden_encoder("bert").directory.parent / "bert with a tokenizer")


def run(
    words: list[str], redirections: str = "", program: str = PROGRAM, **environment: str
) -> subprocess.CompletedProcess[str]:
    """A process with the redirections of a shell. Standard input is one line where nothing else is said."""
    shell = f'exec "$0" -c "$1" "${{@:2}}" {redirections}'
    return subprocess.run(
        ["bash", "-c", shell, sys.executable, program, *words],
        input="the of to\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "HONED_DEBUG": "", "PYTHONUNBUFFERED": "", **environment},
        errors="replace",
    )


def check_said(stderr: str, *, told: bool) -> None:
    """Progress and, if told, exactly one sentence of ours."""
    lines = [line for line in stderr.splitlines() if not PROGRESS.fullmatch(line)]
    assert "Traceback" not in stderr, stderr
    assert len(lines) == (1 if told else 0), stderr
    assert all(line.startswith("honed: ") and len(line) < 500 for line in lines), stderr


def test_every_verb_is_here() -> None:
    elsewhere = {"models", "version", "serve", "bench-recipes", "sensitivity", "costs", "export", "train"}
    assert set(VERBS) - {"demo", "families"} <= set(EACH) | elsewhere


@pytest.mark.parametrize("verb", EACH)
class TestStreams:
    def test_closed_output_is_told_before_any_work(
        self, verb: str, chatty: Path, text_file: Path, tmp_path: Path
    ) -> None:
        done = run(command(verb, chatty, text_file, tmp_path), ">&-")
        assert done.returncode == 1
        check_said(done.stderr, told=True)
        assert "standard output is closed" in done.stderr
        assert not any(tmp_path.iterdir())

    def test_a_full_disk_is_told(self, verb: str, chatty: Path, text_file: Path, tmp_path: Path) -> None:
        done = run(command(verb, chatty, text_file, tmp_path), "> /dev/full")
        assert done.returncode == 1, done.stderr
        check_said(done.stderr, told=True)
        assert "standard output cannot be written: No space left" in done.stderr

    def test_a_reader_that_left_is_no_error(self, verb: str, chatty: Path, text_file: Path, tmp_path: Path) -> None:
        done = run(command(verb, chatty, text_file, tmp_path), "> >(exec true)")
        # Who leaves late enough has the output in the pipe.
        assert done.returncode in (141, 0), done.stderr
        check_said(done.stderr, told=False)

    def test_a_full_disk_is_told_without_buffers(
        self, verb: str, chatty: Path, text_file: Path, tmp_path: Path
    ) -> None:
        done = run(command(verb, chatty, text_file, tmp_path), "> /dev/full", PYTHONUNBUFFERED="1")
        assert done.returncode == 1, done.stderr
        check_said(done.stderr, told=True)
        assert "standard output cannot be written: No space left" in done.stderr

    @pytest.mark.parametrize("where", ["2>&-", "2> /dev/full", "2> >(exec true)"])
    def test_nobody_hears_what_is_said_beside(
        self, verb: str, where: str, chatty: Path, text_file: Path, tmp_path: Path
    ) -> None:
        done = run(command(verb, chatty, text_file, tmp_path), where)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout

    def test_closed_input(self, verb: str, chatty: Path, text_file: Path, tmp_path: Path) -> None:
        done = run(command(verb, chatty, text_file, tmp_path), "<&-")
        assert done.returncode == (2 if verb == "chat" else 0), done.stderr
        check_said(done.stderr, told=verb == "chat")


ENVIRONMENTS = {
    "ascii": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "latin": {"PYTHONIOENCODING": "latin-1"},
    "narrow": {"COLUMNS": "1"},
    "columns": {"COLUMNS": "-3"},
    "dumb": {"TERM": "dumb", "NO_COLOR": "1"},
    "home is a file": {"HOME": "/dev/null", "XDG_CACHE_HOME": ""},
    "cache is a file": {"XDG_CACHE_HOME": "/dev/null"},
    "cache is full": {"XDG_CACHE_HOME": "/proc/self"},
    "unbuffered": {"PYTHONUNBUFFERED": "1"},
    "warnings are errors": {"PYTHONWARNINGS": "error"},
}


@pytest.mark.parametrize("verb", [verb for verb in EACH if verb != "bench"])
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_environments(verb: str, name: str, chatty: Path, text_file: Path, tmp_path: Path) -> None:
    done = run(command(verb, chatty, text_file, tmp_path), **ENVIRONMENTS[name])
    assert done.returncode == 0, done.stderr
    check_said(done.stderr, told=False)


@pytest.mark.parametrize("verb", EACH)
def test_no_home(verb: str, chatty: Path, text_file: Path, tmp_path: Path) -> None:
    done = run(command(verb, chatty, text_file, tmp_path), program=HOMELESS, XDG_CACHE_HOME="")
    assert done.returncode in (0, 2), done.stderr
    check_said(done.stderr, told=done.returncode == 2)
    if done.returncode:
        assert "XDG_CACHE_HOME" in done.stderr


@pytest.mark.parametrize("verb", EACH)
def test_a_directory_that_is_gone(verb: str, chatty: Path, text_file: Path, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    shell = f'cd "{tmp_path}/here" && rmdir "{tmp_path}/here" && exec "$0" -c "$1" "${{@:2}}"'
    words = command(verb, chatty, text_file, tmp_path)
    done = subprocess.run(
        ["bash", "-c", shell, sys.executable, PROGRAM, *words],
        input="the\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 2), done.stderr
    check_said(done.stderr, told=done.returncode == 2)


@pytest.mark.parametrize("verb", [verb for verb in EACH if verb not in ("chat", "bench")])
@pytest.mark.parametrize("columns", ["80", "1"])
def test_a_terminal(verb: str, columns: str, chatty: Path, text_file: Path, tmp_path: Path) -> None:
    main, side = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *command(verb, chatty, text_file, tmp_path)],
        stdin=side, stdout=side, stderr=side, env={**os.environ, "COLUMNS": columns, "TERM": "xterm"},
    )  # fmt: skip
    os.close(side)
    said = b""
    end = time.monotonic() + 60
    while time.monotonic() < end and select.select([main], [], [], 60)[0]:
        try:
            part = os.read(main, 65536)
        except OSError:  # the other side is closed
            break
        said += part
        if not part:
            break
    os.close(main)
    assert process.wait(timeout=60) == 0, said
    assert b"Traceback" not in said
    assert said.strip()


def test_the_whole_reply_comes_through_a_small_pipe(chatty: Path) -> None:
    done = run(["generate", str(chatty), "the", "--max-tokens", "200", "--json"], "| (sleep 0.5; cat)")
    assert json.loads(done.stdout)["finish_reason"] in ("stop", "length")


def test_a_fault_of_ours_is_one_line_and_more_only_where_it_is_asked_for() -> None:
    program = (
        "import honed.cli.doctor as doctor\n"
        "def fail(): raise KeyError('\\x1b[31m' + 'x' * 2000)\n"
        "doctor.examine = fail\n" + PROGRAM
    )
    done = run(["doctor"], program=program)
    assert done.returncode == 1
    check_said(done.stderr, told=True)
    assert "KeyError" in done.stderr
    assert "fault of honed" in done.stderr
    assert "\x1b" not in done.stderr
    shown = run(["doctor"], program=program, HONED_DEBUG="1")
    assert (shown.returncode, shown.stderr.splitlines()[0]) == (1, done.stderr.strip())
    assert "Traceback" in shown.stderr


def test_notes_are_lines_and_other_warnings_are_not_for_users() -> None:
    program = (
        "import honed.cli.doctor as doctor, warnings\n"
        "class HonedWarning(UserWarning): pass\n"
        "old = doctor.examine\n"
        "def examine():\n"
        "    for text in ('one', 'two', 'one'): warnings.warn(text, HonedWarning)\n"
        "    warnings.warn('not for users', RuntimeWarning)\n"
        "    return old()\n"
        "doctor.examine = examine\n" + PROGRAM
    )
    done = run(["doctor", "--json"], program=program)
    assert (done.returncode, done.stderr) == (0, "honed: note: one\nhoned: note: two\n")
    assert json.loads(done.stdout)


@pytest.mark.parametrize("kilobytes", [150_000, 200_000, 300_000, 500_000, 1_000_000])
@pytest.mark.parametrize("verb", ["generate", "json", "inspect", "compress", "doctor"])
def test_limits_of_memory(kilobytes: int, verb: str, chatty: Path, text_file: Path, tmp_path: Path) -> None:
    words = command(verb, chatty, text_file, tmp_path)
    shell = f'ulimit -v {kilobytes}; exec "$0" -c "$1" "${{@:2}}"'
    done = subprocess.run(
        ["bash", "-c", shell, sys.executable, PROGRAM, *words], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode in (0, 1), (done.returncode, done.stderr)
    # BLAS says in its own words what it could not get, and may end the process itself.
    ours = "\n".join(line for line in done.stderr.splitlines() if not line.startswith("OpenBLAS"))
    check_said(ours, told=done.returncode == 1 and "giving up" not in done.stderr)
