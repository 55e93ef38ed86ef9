"""A run of `compress` that is killed anywhere goes on to the same bytes, and only with what it was begun with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from divisible_models import save_llama
from honed.api.compress import Progress, compress
from honed.api.compress_job import CompressJob
from honed.checkpoints.job.folder import MARK, path_of_job
from honed.encodings.dense import Dense
from honed.errors import ArtifactError, ParameterError
from honed.notes import HonedWarning

GPTQ: dict[str, Any] = {
    "passes": [{"pass": "smooth", "junctions": "head"}, {"pass": "gptq", "weights": {"bits": 4, "group": 32}}],
    "calibration": {"tokens": 256, "window": 32},
}
WEIGHTS = 2 * 7 + 1
DIES = """
import json, os, signal, sys
from honed.api.compress import compress
from honed.api.compress_job import CompressJob
source, out, recipe, after, when = sys.argv[1:]
save, count = CompressJob.save, 0
def counted(self, number, name, weight):
    global count
    if when == "before" and count == int(after):
        os.kill(os.getpid(), signal.SIGKILL)
    save(self, number, name, weight)
    count += 1
    if when == "after" and count == int(after):
        os.kill(os.getpid(), signal.SIGKILL)
CompressJob.save = counted
compress(source, json.loads(recipe), out=out, threads=1, resume=True)
"""


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("job") / "llama")


@pytest.fixture(scope="module")
def whole(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole") / "out"
    compress(llama, GPTQ, out=out, threads=1)
    assert {path.name for path in out.parent.iterdir()} == {"out"}
    return contents(out)


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def die(source: Path, out: Path, after: int, when: str = "after") -> None:
    command = [sys.executable, "-W", "ignore", "-c", DIES, str(source), str(out), json.dumps(GPTQ), str(after), when]
    assert subprocess.run(command, capture_output=True, check=False).returncode == -signal.SIGKILL
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 4, 7, 14])
def test_a_run_that_was_killed_goes_on_to_the_same_bytes(
    llama: Path, tmp_path: Path, whole: dict[str, bytes], after: int
) -> None:
    out = tmp_path / "out"
    die(llama, out, after)
    seen: list[Progress] = []
    compress(llama, GPTQ, out=out, threads=1, resume=True, progress=seen.append)
    assert contents(out) == whole
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    made = [state for state in seen if state.stage == "gptq"]
    assert [(state.done, state.total) for state in made] == [(number, WEIGHTS) for number in range(1, WEIGHTS + 1)]


@pytest.mark.slow
def test_it_may_be_killed_again_and_in_the_middle_of_a_write(llama: Path, tmp_path: Path, whole: Any) -> None:
    out = tmp_path / "out"
    die(llama, out, 3)
    (path_of_job(out) / "pass-1" / ".partial-0123456789abcdef").write_bytes(b"half")
    die(llama, out, 5, "before")
    compress(llama, GPTQ, out=out, threads=1, resume=True)
    assert contents(out) == whole
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


def unfinished(llama: Path, out: Path, monkeypatch: pytest.MonkeyPatch, after: int = 5, recipe: Any = GPTQ) -> Path:
    """The job of a run that fails after some weights."""
    save, count = CompressJob.save, 0

    def failing(self: CompressJob, number: int, name: str, weight: Any) -> None:
        nonlocal count
        if count == after:
            raise OSError(28, "No space left on device")
        count += 1
        save(self, number, name, weight)

    with monkeypatch.context() as patch, pytest.warns(HonedWarning, match="resume=True"):
        patch.setattr(CompressJob, "save", failing)
        with pytest.raises(Exception, match="full"):
            compress(llama, recipe, out=out, threads=1)
    job = path_of_job(out)
    assert job.is_dir()
    assert job.stat().st_mode & 0o777 == 0o700
    return job


def test_an_unfinished_job_is_told_of_and_discarded_on_demand(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    unfinished(llama, out, monkeypatch)
    for recipe in (GPTQ, "int8"):
        with pytest.raises(ArtifactError, match=r"unfinished job of 5 weights; --resume .* --restart"):
            compress(llama, recipe, out=out, threads=1)
    with pytest.raises(ParameterError, match="resume = True"):
        compress(llama, GPTQ, out=out, threads=1, resume=True, restart=True)
    compress(llama, GPTQ, out=out, threads=1, restart=True)
    assert contents(out) == whole
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


def test_it_goes_on_with_nothing_else(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    unfinished(llama, out, monkeypatch)
    other = save_llama(tmp_path / "other", num_hidden_layers=1)
    with pytest.raises(ArtifactError, match="begun with another model"):
        compress(other, GPTQ, out=out, resume=True)
    with pytest.raises(ArtifactError, match="begun with another recipe"):
        compress(llama, "int4-gptq", out=out, resume=True)
    with pytest.raises(ArtifactError, match="begun with another recipe"):
        compress(llama, GPTQ, out=out, calibration_tokens=128, resume=True)
    for name, value in (("__version__", "9"), ("cpu_flags", lambda: ["other"])):
        with monkeypatch.context() as patch:
            patch.setattr(f"honed.api.compress_job.{name}", value)
            with pytest.raises(ArtifactError, match=r"begun with another (honed|processor)"):
                compress(llama, GPTQ, out=out, resume=True)
    compress(llama, GPTQ, out=out, threads=1, resume=True)
    assert contents(out) == whole


def test_it_goes_on_only_where_a_file_to_learn_from_is_the_same(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, out = tmp_path / "mine.txt", tmp_path / "out"
    text.write_text("the a of to and in is it you that " * 40)
    recipe = {**GPTQ, "calibration": {"text": str(text), "window": 32, "tokens": 128}}
    unfinished(llama, out, monkeypatch, recipe=recipe)
    text.write_text("you that he was for on are with as " * 40)
    with (
        pytest.warns(HonedWarning, match="resume=True"),
        pytest.raises(ArtifactError, match="begun with another calibration"),
    ):
        compress(llama, recipe, out=out, resume=True)


def test_what_the_model_wrote_is_not_written_again(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    unfinished(llama, out, monkeypatch)
    monkeypatch.setattr("honed.api.calibration.sample_windows", lambda *_, **__: pytest.fail("wrote again"))
    compress(llama, GPTQ, out=out, threads=1, resume=True)
    assert contents(out) == whole


def test_a_damaged_weight_is_made_again(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    job = unfinished(llama, out, monkeypatch)
    first, second, third, *_ = sorted(job.glob("pass-1/*.safetensors"))
    data = bytearray(first.read_bytes())
    data[-3] ^= 4
    first.write_bytes(data)
    second.write_bytes(second.read_bytes()[:100])
    third.write_bytes(b"")
    with pytest.warns(HonedWarning, match="damaged"):
        compress(llama, GPTQ, out=out, threads=1, resume=True)
    assert contents(out) == whole


def test_without_a_job_resume_begins_one_and_says_so(llama: Path, tmp_path: Path) -> None:
    with pytest.warns(HonedWarning, match="no unfinished job"):
        compress(llama, "int8", out=tmp_path / "out", threads=1, resume=True)
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


def test_what_is_not_honeds_is_neither_believed_nor_removed(llama: Path, tmp_path: Path) -> None:
    job = path_of_job(tmp_path / "out")
    job.mkdir()
    (job / "mine").write_text("x")
    (job / MARK).write_text("{}")
    ways: tuple[dict[str, Any], ...] = ({}, {"resume": True}, {"restart": True})
    for given in ways:
        with pytest.raises(ArtifactError, match="is none of honed's"):
            compress(llama, GPTQ, out=tmp_path / "out", **given)
    assert (job / "mine").read_text() == "x"


def test_a_stranger_in_a_job_stays(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    job = unfinished(llama, out, monkeypatch)
    (job / "mine.txt").write_text("x")
    report = compress(llama, GPTQ, out=out, threads=1, resume=True)
    assert any("mine.txt" in note for note in report.notes)
    assert (job / "mine.txt").read_text() == "x"


def test_two_at_once_are_refused(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    unfinished(llama, out, monkeypatch)
    first = CompressJob(
        out, json.loads((path_of_job(out) / MARK).read_text())["begun_with"], resume=True, restart=False
    )
    with first, pytest.raises(ArtifactError, match=f"another process .id {os.getpid()}."):
        compress(llama, GPTQ, out=out, threads=1, resume=True)


def test_a_pass_may_keep_a_state_of_its_own(tmp_path: Path) -> None:
    with CompressJob(tmp_path / "out", {"model": "m"}, resume=False, restart=False) as job:
        store = job.of_pass(2)
        assert store.load("w") is None
        assert not any(tmp_path.iterdir())
        (store.directory() / "state.pt").write_bytes(b"state")
        store.save("w", Dense(np.ones((2, 3), np.float32), "float32"))
    with CompressJob(tmp_path / "out", {"model": "m"}, resume=True, restart=False) as job:
        store = job.of_pass(2)
        found = store.load("w")
        assert found is not None
        assert found.decode().tolist() == np.ones((2, 3)).tolist()
        assert (store.directory() / "state.pt").read_bytes() == b"state"
        assert job.of_pass(1).load("w") is None
        assert job.finish() is None
    assert not any(tmp_path.iterdir())
