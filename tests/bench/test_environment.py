"""Environments of other systems, with an installer that is a wheel made here: nothing is fetched."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path

import pytest

from honed.bench.isolate import call_isolated
from honed.bench.peers.base import PeerError
from honed.bench.peers.environment import Build, Environment, Install
from honed.errors import ArtifactError


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with one wheel: a module that says what it is."""
    directory = tmp_path_factory.mktemp("wheels")
    with zipfile.ZipFile(directory / "honedfake-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("honedfake.py", "def answer(arguments, spawned):\n    return 42\n")
        wheel.writestr("honedfake-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: honedfake\nVersion: 1.0\n")
        wheel.writestr(
            "honedfake-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("honedfake-1.0.dist-info/RECORD", "")
    return directory


def environment(wheels: Path, version: str = "1.0") -> Environment:
    options = ("--no-index", "--find-links", str(wheels))
    return Environment("fake", (Install((f"honedfake=={version}",), options),), needed_bytes=1 << 20)


@pytest.mark.slow
def test_made_once_and_usable_where_it_was_renamed_to(wheels: Path, tmp_path: Path) -> None:
    told: list[str] = []
    wanted = environment(wheels)
    assert wanted.find(tmp_path) is None
    python = wanted.python(told.append, tmp_path)
    assert told == ["installing fake"]
    assert python == tmp_path / wanted.directory_name / "bin" / "python"
    assert call_isolated("honedfake:answer", {}, interpreter=str(python)) == 42
    assert wanted.python(told.append, tmp_path) == python
    assert told == ["installing fake"]
    assert [path.name for path in tmp_path.iterdir()] == [wanted.directory_name], "no log, lock or partial directory"


@pytest.mark.slow
def test_failure_leaves_no_environment_and_gives_the_installers_last_error(wheels: Path, tmp_path: Path) -> None:
    wanted = environment(wheels, "9.9")
    with pytest.raises(PeerError, match=r"fake cannot be installed: ERROR: No matching distribution .*honedfake==9\.9"):
        wanted.python(lambda _: None, tmp_path)
    assert wanted.find(tmp_path) is None
    (log,) = tmp_path.iterdir()
    assert "No matching distribution" in log.read_text()


def test_killed_installation_is_not_taken_for_a_finished_one(wheels: Path, tmp_path: Path) -> None:
    """A directory that died halfway lies under another name; one without an interpreter is none."""
    wanted = environment(wheels)
    (tmp_path / f".{wanted.directory_name}.partial" / "bin").mkdir(parents=True)
    (tmp_path / f".{wanted.directory_name}.partial" / "bin" / "python").touch()
    assert wanted.find(tmp_path) is None
    (tmp_path / wanted.directory_name).mkdir()
    assert wanted.find(tmp_path) is None


def test_two_at_once_are_kept_apart(wheels: Path, tmp_path: Path) -> None:
    from honed.checkpoints.artifact.staging import staged_directory

    wanted = environment(wheels)
    target = tmp_path / wanted.directory_name
    with (
        staged_directory(target, needed=0),
        pytest.raises(ArtifactError, match=r"another process .* is writing it"),
    ):
        wanted.python(lambda _: None, tmp_path)


def test_name_changes_with_everything_it_depends_on(wheels: Path) -> None:
    wanted = environment(wheels)
    step = wanted.installs[0]
    others = [
        environment(wheels, "1.1"),
        dataclasses.replace(wanted, depends_on=("avx512f",)),
        dataclasses.replace(wanted, installs=(dataclasses.replace(step, variables={"CC": "clang"}),)),
        dataclasses.replace(wanted, installs=(dataclasses.replace(step, options=()),)),
        dataclasses.replace(wanted, installs=(step, step)),
    ]
    names = {other.directory_name for other in others}
    assert len(names) == len(others)
    assert wanted.directory_name not in names
    assert dataclasses.replace(wanted, remark="slow").directory_name == wanted.directory_name


def test_version_must_be_pinned() -> None:
    with pytest.raises(ValueError, match="not pinned to a version: numpy>=2"):
        Install(("gguf==1.0", "numpy>=2"))


WRITES = "import pathlib, os, sys; pathlib.Path(sys.argv[1], 'made').write_text(os.environ['KIND'])"


@pytest.mark.slow
def test_builds_run_in_the_place_where_the_environment_is_made(tmp_path: Path) -> None:
    build = Build(("{python}", "-c", WRITES, "{directory}/lib"), {"KIND": "oak"})
    wanted = Environment("fake", (), needed_bytes=1 << 20, builds=(build,))
    python = wanted.python(lambda _: None, tmp_path)
    assert (python.parent.parent / "lib" / "made").read_text() == "oak"
    broken = dataclasses.replace(wanted, builds=(build, Build(("{python}", "-c", "raise SystemExit('no compiler')"))))
    with pytest.raises(PeerError, match="fake cannot be installed: no compiler"):
        broken.python(lambda _: None, tmp_path)
    assert broken.find(tmp_path) is None


def test_builds_decide_about_the_name_and_their_absence_does_not() -> None:
    plain = Environment("fake", (Install(("a==1",)),))
    first, second = (dataclasses.replace(plain, builds=(Build(("x",), {"CC": cc}),)) for cc in ("clang", "gcc"))
    assert len({plain.directory_name, first.directory_name, second.directory_name}) == 3
    assert dataclasses.replace(plain, builds=()).directory_name == plain.directory_name
