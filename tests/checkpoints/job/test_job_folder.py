"""A job's directory is this user's own, is believed with its mark only, and goes without what others put there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from honed.checkpoints.job.folder import MARK, create_job, find_job, job_lock, path_of_job
from honed.errors import ArtifactError


def test_one_is_made_found_and_removed(tmp_path: Path) -> None:
    target = tmp_path / "out"
    assert find_job(target) is None
    with job_lock(target):
        made = create_job(target, {"model": "a"})
    assert made.path == path_of_job(target) == tmp_path / ".out.honed-job"
    assert made.path.stat().st_mode & 0o777 == 0o700
    found = find_job(target)
    assert found == made
    made.weight(0, "a").write_bytes(b"x")
    made.weight(12, "a").write_bytes(b"x")
    (made.state(3) / "optimizer").mkdir()
    (made.state(3) / "optimizer" / "step").write_text("7")
    assert made.kept_weights() == 2
    assert made.remove() is None
    assert not any(tmp_path.iterdir())


def test_what_others_put_there_stays_with_the_mark(tmp_path: Path) -> None:
    made = create_job(tmp_path / "out", {})
    own = made.weight(1, "a")
    own.write_bytes(b"x")
    (own.parent / "notes.txt").write_text("mine")
    assert "pass-1" in str(made.remove())
    assert (own.parent / "notes.txt").read_text() == "mine"
    assert not own.exists()
    assert find_job(tmp_path / "out") == made


def test_a_link_out_of_it_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    made = create_job(tmp_path / "out", {})
    (made.path / "pass-0").symlink_to(outside)
    assert made.remove() is not None
    assert (outside / "precious").read_text() == "x"


@pytest.mark.parametrize(
    "mark",
    [
        "{}",
        "[]",
        "nonsense",
        json.dumps({"honed": "staging", "target": "out", "begun_with": {}}),
        json.dumps({"honed": "job", "target": "other", "begun_with": {}}),
        json.dumps({"honed": "job", "target": "out", "begun_with": {"model": 3}}),
        json.dumps({"honed": "job", "target": "out", "begun_with": []}),
    ],
)
def test_another_mark_is_not_believed(tmp_path: Path, mark: str) -> None:
    path = path_of_job(tmp_path / "out")
    path.mkdir(mode=0o700)
    (path / MARK).write_text(mark)
    with pytest.raises(ArtifactError, match="is none of honed's"):
        find_job(tmp_path / "out")
    assert (path / MARK).read_text() == mark


def test_what_others_may_write_is_not_believed(tmp_path: Path) -> None:
    made = create_job(tmp_path / "out", {})
    made.path.chmod(0o777)
    with pytest.raises(ArtifactError, match="is none of honed's"):
        find_job(tmp_path / "out")


def test_one_that_was_not_marked_yet_is_removed(tmp_path: Path) -> None:
    path = path_of_job(tmp_path / "out")
    path.mkdir(mode=0o700)
    assert find_job(tmp_path / "out") is None
    path.mkdir(mode=0o700)
    (path / MARK).touch()
    with job_lock(tmp_path / "out"), pytest.raises(ArtifactError, match="another process"):
        find_job(tmp_path / "out")  # whoever marks it holds the lock
    assert find_job(tmp_path / "out") is None
    assert not any(tmp_path.iterdir())
