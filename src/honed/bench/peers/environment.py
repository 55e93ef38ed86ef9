"""A virtual environment for each other system, so that none has to agree with honed or with another about versions.

An environment lies in the user's cache under a name that holds a digest of everything it depends on. It is made on
first use, under a lock, as a sibling that is renamed into place: a killed installation is never taken for a finished
one. Only its `bin/python` is ever run; the scripts beside that would name the place where it was made.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from honed.bench.peers.base import Announce, PeerError

NICENESS = 10
"""An installation may compile for minutes and shall not stand in the way."""
_LARGEST_BYTES = 2 << 30
_TIMEOUT_S = 3600


@dataclass(frozen=True)
class Install:
    """One call of `pip install`. requirements: exact versions (`name==version`); options: further ones of pip;
    variables: environment variables that a build reads."""

    requirements: tuple[str, ...]
    options: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        loose = [requirement for requirement in self.requirements if "==" not in requirement]
        if loose:
            raise ValueError(f"not pinned to a version: {', '.join(loose)}")


@dataclass(frozen=True)
class Build:
    """A command that is run once everything is installed. In its words "{directory}" is where the environment is being
    made, and "{python}" the interpreter there. variables: as those of an `Install`."""

    command: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)

    def words(self, directory: Path) -> list[str]:
        """The command for an environment that is made in `directory`."""
        python = directory / "bin" / "python"
        return [word.replace("{directory}", str(directory)).replace("{python}", str(python)) for word in self.command]


@dataclass(frozen=True)
class Environment:
    """name: of the system. installs: in their order, then builds. depends_on: what else decides whether an environment
    fits, such as the flags of the processor that it is compiled for. remark: for who waits, e.g. how long it takes."""

    name: str
    installs: tuple[Install, ...]
    depends_on: tuple[str, ...] = ()
    needed_bytes: int = _LARGEST_BYTES
    remark: str = ""
    builds: tuple[Build, ...] = ()

    @property
    def directory_name(self) -> str:
        """Differs wherever one environment could not stand for the other."""
        steps = [[step.requirements, step.options, sorted(step.variables.items())] for step in self.installs]
        python = [platform.python_implementation(), platform.python_version(), platform.machine()]
        # Only where there are any: the environments that are there already keep their names.
        builds = [[build.command, sorted(build.variables.items())] for build in self.builds]
        text = json.dumps([steps, python, self.depends_on, *([builds] if builds else [])])
        return f"{self.name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def find(self, cache: Path | None = None) -> Path | None:
        """The interpreter, if the environment is there."""
        python = _root(cache) / self.directory_name / "bin" / "python"
        return python if python.is_file() else None

    def python(self, announce: Announce, cache: Path | None = None) -> Path:
        """The interpreter; the environment is made now if it is not there yet.

        PeerError with the last line of the installer's error, and where all of it is kept; ArtifactError where the
        disk is too full or another process is making the same environment.
        """
        from honed.checkpoints.artifact.staging import staged_directory

        found = self.find(cache)
        if found is not None:
            return found
        target = _root(cache) / self.directory_name
        announce(f"installing {self.name}{f' ({self.remark})' if self.remark else ''}")
        with staged_directory(target, needed=self.needed_bytes, replaces="anything") as directory:
            log = target.with_name(f"{target.name}.log")
            log.unlink(missing_ok=True)
            self._call([sys.executable, "-m", "venv", str(directory)], {}, log)
            python = directory / "bin" / "python"
            for step in self.installs:
                options = ["--no-input", "--disable-pip-version-check", *step.options]
                command = [str(python), "-m", "pip", "install", *options, *step.requirements]
                self._call(command, step.variables, log)
            for build in self.builds:
                self._call(build.words(directory), build.variables, log)
            # Compiled now: otherwise the first measured start would write the bytecode, and be slower for it.
            self._call([str(python), "-m", "compileall", "-q", "-j", "0", str(directory / "lib")], {}, log, fails=False)
        log.unlink(missing_ok=True)
        return target / "bin" / "python"

    def _call(self, command: list[str], variables: Mapping[str, str], log: Path, *, fails: bool = True) -> None:
        gentle = ["nice", "-n", str(NICENESS)] if shutil.which("nice") else []
        # A PYTHONPATH of ours would make pip find what the environment does not hold.
        kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
        with log.open("ab") as output:
            try:
                done = subprocess.run(
                    [*gentle, *command],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**kept, **variables},
                    timeout=_TIMEOUT_S,
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                raise PeerError(f"{self.name}: not installed after {_TIMEOUT_S} s (all of it in {log})") from error
        if fails and done.returncode != 0:
            raise PeerError(f"{self.name} cannot be installed: {_last_error(log)} (all of it in {log})")


def _root(cache: Path | None) -> Path:
    if cache is not None:
        return cache
    from honed.checkpoints.download.cache import cache_directory

    return cache_directory() / "peers"


def _last_error(log: Path) -> str:
    """What pip says last under ERROR, or else the last line of all."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.upper().startswith("ERROR:")] or lines or ["the installer said nothing"]
    return errors[-1]
