from __future__ import annotations

import importlib
import subprocess
import sys
from typing import get_type_hints

import pytest

from honed import __version__
from honed.cli.main import VERBS
from honed.cli.opening import first_words
from honed.errors import HonedError


def honed(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "honed.cli.main", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_left_as_it_is(verb: str) -> None:
    assert first_words([verb, "--help", "x"], VERBS) == [verb, "--help", "x"]


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"], ["help", "nothing"]])
def test_the_overview(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert first_words(words, VERBS) is None
    assert "Begin with:" in capsys.readouterr().out


def test_help_of_a_verb_and_the_version() -> None:
    assert first_words(["help", "bench"], VERBS) == ["bench", "--help"]
    assert first_words(["--version", "--json"], VERBS) == ["version", "--json"]


def test_no_verb_is_an_error_that_names_one() -> None:
    with pytest.raises(HonedError, match="did you mean honed generate"):
        first_words(["genrate", "x"], VERBS)


def test_the_command_itself() -> None:
    assert honed("--version").stdout == f"honed {__version__}\n"
    done = honed("quantize", "smollm2")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "honed compress smollm2" in done.stderr
    assert honed().returncode == 0


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_every_verb_is_shown_whole(verb: str) -> None:
    """A reader of markup would take [default: ...] of a help text for a tag and leave it out."""
    done = honed(verb, "--help")
    assert done.returncode == 0, done.stderr
    shown = "".join(done.stdout.split())
    function = getattr(importlib.import_module(f"honed.cli.{verb.replace('-', '_')}"), VERBS[verb])
    for hint in get_type_hints(function, include_extras=True).values():
        for declared in getattr(hint, "__metadata__", ()):
            assert "".join((declared.help or "").split()) in shown
