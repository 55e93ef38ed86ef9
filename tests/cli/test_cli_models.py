from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from honed.checkpoints.source import ALIASES
from honed.cli.models import ago, models, size
from honed.errors import HonedError
from terminal_session import TerminalSession

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(models)
runner = CliRunner()
HEX = "0123456789abcdef" * 4


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only thing in an otherwise empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    path = tmp_path / "honed" / "packed" / f"{HEX[:40]}.packed"
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(1500))
    return path


def run(*words: str) -> str:
    result = runner.invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_list_has_what_is_here_and_what_may_be_downloaded(packed: Path) -> None:
    lines = run().splitlines()
    assert any(line.split()[:3] == ["packed", "2", "kB"] for line in lines)
    for name in ALIASES:
        assert any(line.startswith(name) and "not here yet" in line for line in lines)


def test_json(packed: Path) -> None:
    document = json.loads(run("--json"))
    assert [entry["name"] for entry in document["entries"]] == ["packed"]


def test_remove_with_yes(packed: Path) -> None:
    assert "removed packed, 2 kB" in run("remove", "packed", "packed", "--yes")
    assert not packed.exists()


def test_remove_reports_json(packed: Path) -> None:
    assert json.loads(run("remove", "packed", "--yes", "--json")) == {"removed": [{"name": "packed", "bytes": 1500}]}


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["remove", "packed"], "pass --yes"),
        (["remove"], "needs a name"),
        (["remove", "packed", "pakced", "--yes"], "did you mean packed"),
        (["remove", "smollm2", "--yes"], "nothing to remove"),
        (["remove", "../packed", "--yes"], "not in the caches"),
        (["remove", "/", "--yes"], "not in the caches"),
        (["rm", "packed"], "models remove NAME"),
        (["smollm2"], "honed inspect"),
        (["--yes"], "goes with"),
    ],
)
def test_mistakes_remove_nothing(packed: Path, words: list[str], problem: str) -> None:
    with pytest.raises(HonedError, match=problem):
        runner.invoke(app, words, catch_exceptions=False)
    assert packed.exists()


@pytest.mark.parametrize(("answer", "goes"), [("y", True), ("YES", True), ("", False), ("n", False), ("yess", False)])
def test_a_terminal_is_asked(packed: Path, answer: str, goes: bool) -> None:
    with TerminalSession("models", "remove", "packed") as terminal:
        assert "2 kB" in terminal.read_until("[y/N] ")
        terminal.type(f"{answer}\n")
        assert terminal.wait() == (0 if goes else 2)
        assert ("nothing was removed" in terminal.output) != goes
    assert packed.exists() != goes


def test_ctrl_c_at_the_question_removes_nothing(packed: Path) -> None:
    with TerminalSession("models", "remove", "packed") as terminal:
        terminal.read_until("[y/N] ")
        terminal.type("\x03")
        assert terminal.wait() == 130
        assert "Traceback" not in terminal.output
    assert packed.exists()


@pytest.mark.parametrize(
    ("nbytes", "shown"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1 kB"), (98_362_432, "98 MB"), (999_600, "1 MB"), (4.6e9, "4.6 GB"),
     (999_999_999, "1.0 GB")],
)  # fmt: skip
def test_sizes(nbytes: float, shown: str) -> None:
    assert size(nbytes) == shown


def test_how_long_ago() -> None:
    assert [ago(seconds) for seconds in (-5, 59, 60, 3600, 86_400, 200_000)] == [
        "just now", "just now", "1 minute ago", "1 hour ago", "1 day ago", "2 days ago"
    ]  # fmt: skip
