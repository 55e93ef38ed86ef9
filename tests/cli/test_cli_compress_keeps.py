"""`honed compress` loses nothing: what it may replace, and what a process that is ended leaves behind."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from divisible_models import save_llama

COMMAND = [sys.executable, "-m", "honed.cli.main", "compress"]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("keeps") / "llama")


@pytest.fixture(scope="module")
def made(llama: Path) -> Path:
    assert honed(llama, llama.parent / "made").returncode == 0
    return llama.parent / "made"


@pytest.fixture
def out(made: Path, tmp_path: Path) -> Path:
    """A copy of an artifact in a directory of its own."""
    (tmp_path / "place").mkdir()
    return Path(shutil.copytree(made, tmp_path / "place" / "out"))


def honed(
    model: Path | str, out: Path | str, *options: str, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, str(model), "-o", str(out), "--threads", "1", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


def contents(directory: Path) -> dict[str, bytes | str]:
    """Everything below a directory: bytes of files, targets of links."""
    return {
        str(path.relative_to(directory)): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in directory.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def refused(model: Path | str, out: Path | str, *options: str, cwd: Path | None = None) -> str:
    """One sentence, before any weight was looked at."""
    done = honed(model, out, *options, cwd=cwd)
    assert (done.returncode, done.stdout) == (2, ""), done
    (line,) = done.stderr.splitlines()
    assert line.startswith("honed: ")
    return line


def test_a_model_inside_the_output_is_not_deleted(llama: Path, out: Path, tmp_path: Path) -> None:
    inside = Path(shutil.copytree(llama, out / "model"))
    before = contents(out)
    assert "honed: " in refused(inside, out, "--overwrite")
    (tmp_path / "alias").symlink_to(inside)
    assert "honed: " in refused(tmp_path / "alias", out, "--overwrite")
    assert contents(out) == before


def test_an_output_inside_the_model_is_refused(llama: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(llama, tmp_path / "model"))
    before = contents(tmp_path)
    for output in (model / "int8", model, tmp_path / "model" / ".." / "model" / "int8"):
        assert "honed: " in refused(model, output, "--overwrite")
    assert "which is to be compressed" in refused(".", "int8", cwd=model)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("text", ["", "{}", '{"format": "honed-artifact", "format_version": 1}'])
def test_a_directory_of_others_with_a_manifest_that_is_none_is_kept(llama: Path, tmp_path: Path, text: str) -> None:
    home = tmp_path / "home"
    (home / "photos").mkdir(parents=True)
    (home / "photos" / "a.jpg").write_text("years")
    (home / "honed.json").write_text(text)
    before = contents(home)
    assert "honed.json" in refused(llama, home, "--overwrite")
    assert contents(home) == before


@pytest.mark.parametrize("name", ["notes.txt", ".git/config", "checkpoint-2/model.safetensors"])
def test_a_file_of_others_in_an_artifact_is_named_and_kept(llama: Path, out: Path, name: str) -> None:
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).write_text("years")
    before = contents(out)
    assert f"{name.split('/', maxsplit=1)[0]}" in refused(llama, out, "--overwrite")
    assert contents(out) == before


def test_what_others_have_beside_it_is_kept(llama: Path, out: Path) -> None:
    place, victim = out.parent, out.parent / "victim.txt"
    victim.write_text("years")
    for role in ("partial", "previous"):
        (place / f".out.{role}").mkdir()
        (place / f".out.{role}" / "thesis.txt").write_text("years")
    (place / ".out.lock").symlink_to(victim)
    before = {name: data for name, data in contents(place).items() if not name.startswith("out/")}
    done = honed(llama, out, "--overwrite", "--recipe", "int4")
    assert done.returncode == 0, done
    assert {name: data for name, data in contents(place).items() if not name.startswith("out/")} == before
    shutil.rmtree(out)
    done = honed(llama, out)
    assert done.returncode == 0, done
    assert {name: data for name, data in contents(place).items() if not name.startswith("out/")} == before


def test_documents_that_were_edited_are_kept_and_that_is_said(llama: Path, out: Path) -> None:
    (out / "README.md").write_text("---\nlicense: mit\n---\n")
    (out / "LICENSE").write_text("MIT")
    done = honed(llama, out, "--overwrite", "--recipe", "int4")
    assert done.returncode == 0, done
    assert (out / "README.md").read_text() == "---\nlicense: mit\n---\n"
    assert (out / "LICENSE").read_text() == "MIT"
    assert sorted(line.split("/")[-1] for line in done.stderr.splitlines() if "was kept" in line) == [
        "LICENSE is not as honed wrote it, and was kept",
        "README.md is not as honed wrote it, and was kept",
    ]
    assert names(out.parent) == ["out"]
    assert honed(llama, out, "--overwrite").returncode == 0


@pytest.mark.parametrize("output", [".", "..", "/", "", "./", "sub/.", "link", "dangling", "file"])
def test_outputs_that_are_no_name_or_something_else_are_refused_before_any_work(
    llama: Path, tmp_path: Path, output: str
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to("sub")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "file").write_text("years")
    before = sorted(path.name for path in tmp_path.iterdir())
    for options in ((), ("--overwrite",)):
        refused(llama, output, *options, cwd=tmp_path / "sub" if output in (".", "..") else tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert not any((tmp_path / "sub").iterdir())
    assert (tmp_path / "file").read_text() == "years"


def test_a_disk_that_is_full_keeps_the_old_one_and_is_the_machines_fault(llama: Path, out: Path) -> None:
    before = contents(out)
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)\n"
        "from honed.cli.main import main; main()\n"
    )
    for limit in (1, 500, 5_000, 50_000):
        command = [
            sys.executable,
            "-B",
            "-c",
            script,
            str(limit),
            "compress",
            str(llama),
            "-o",
            str(out),
            "--overwrite",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1, done
        assert "bytes needed" in done.stderr
        assert "bytes free" in done.stderr
        assert contents(out.parent) == {f"out/{name}": data for name, data in before.items()}


ENDS = {"kill": [signal.SIGKILL], "term": [signal.SIGTERM], "hup": [signal.SIGHUP], "int": [signal.SIGINT] * 2}


@pytest.mark.parametrize("how", ENDS)
def test_a_process_that_is_ended_at_any_time_leaves_the_old_or_the_new_one(
    how: str, llama: Path, out: Path, made: Path
) -> None:
    """At the moment when it begins to write, and some times after: the old one stands, or the new one."""
    old = contents(made)
    for delay in (0.0, 0.01, 0.03, 0.1):
        command = [*COMMAND, str(llama), "-o", str(out), "--threads", "1", "--overwrite", "--recipe", "int4"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while process.poll() is None and len(names(out.parent)) == 1:
            time.sleep(0.001)
        time.sleep(delay)
        for number in ENDS[how]:
            process.send_signal(number)
        _, said = process.communicate(timeout=60)
        stands = contents(out)
        if stands != old:
            assert '"bits": 4' in (out / "honed.json").read_text()
        if how != "kill":
            assert names(out.parent) == ["out"], said
            assert process.returncode in (0, -ENDS[how][0], 128 + ENDS[how][0]), said
            assert "Traceback" not in said
        # The next start cleans.
        again = honed(llama, out, "--overwrite")
        assert again.returncode == 0, again
        assert names(out.parent) == ["out"]
        assert contents(out) == old


def test_between_two_renames_readers_say_where_it_is_and_the_next_writer_puts_it_back(llama: Path, out: Path) -> None:
    """As on a file system that cannot exchange two names."""
    script = (
        "import os, signal, sys\n"
        "from honed.checkpoints.artifact import staging\n"
        "from honed.checkpoints.artifact.atomic_rename import ExchangeError\n"
        "def none(*_): raise ExchangeError(22, 'Invalid argument')\n"
        "staging.exchange = none\n"
        "staging.rename_into_free = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from honed.cli.main import main; main()\n"
    )
    before = contents(out)
    command = [sys.executable, "-c", script, "compress", str(llama), "-o", str(out), "--overwrite"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == -signal.SIGKILL
    assert not out.exists()
    for verb in (["generate", str(out), "the"], ["inspect", str(out)], ["eval", str(out)]):
        done = subprocess.run(
            [sys.executable, "-m", "honed.cli.main", *verb], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2, done
        assert "is missing, but " in done.stderr
        assert "/former holds the former artifact" in done.stderr
    done = honed(llama, out)
    assert done.returncode == 2
    assert "exists already" in done.stderr
    assert contents(out) == before
    assert names(out.parent) == ["out"]
