"""Command lines read without typer against those that typer reads."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from honed.cli import quick
from honed.cli.generate import generate
from honed.cli.main import QUICK, make_app


def with_typer(words: list[str]) -> dict[str, Any]:
    group: Any = typer.main.get_command(make_app(["generate"]))
    command = group.commands["generate"]
    return dict(command.make_context("generate", list(words)).params)


PLAIN = [
    ["model", "text"],
    ["model", "-"],
    ["model", "a text\nof two lines, and --no option"],
    ["--max-tokens", "1", "model", "text"],
    ["model", "--max-tokens=12", "text", "--temperature", "0.5", "--top-k=0"],
    ["model", "text", "--temperature", "1", "--top-p", "0.25", "--min-p=1.0", "--seed", "123456789012345678"],
    ["model", "text", "--stop", "one", "--stop=two words", "--json"],
    ["model", "text", "--chat", "--json", "--json"],
    ["model", "text", "--system", "You speak Greek.", "--dtype=auto", "--kv", "int8"],
    ["model", "text", "--seed", "1", "--seed", "2"],
    [
        "model",
        "text",
        "--isa",
        "avx2",
        "--revision=main",
        "--backend",
        "pytorch",
        "--context",
        "0032",
        "--threads",
        "2",
    ],
]
LEFT = [
    [],
    ["model"],
    ["model", "text", "more"],
    ["--help"],
    ["model", "text", "-h"],
    ["model", "text", "--max-tokens"],
    ["model", "text", "--max-tokens", "many"],
    ["model", "text", "--max-tokens", "-1"],
    ["model", "text", "--max-tokens", "1_0"],
    ["model", "text", "--max-tokens", "\u0661"],
    ["model", "text", "--temperature", "1e-3"],
    ["model", "text", "--temperature", "nan"],
    ["model", "text", "--max", "1"],
    ["model", "text", "--no-chat"],
    ["model", "text", "--chat=1"],
    ["model", "text", "--stop", ""],
    ["model", "text", "--stop", "-x"],
    ["model", "", "--json"],
    ["--", "model", "text"],
]


@pytest.mark.parametrize("words", PLAIN, ids=" ".join)
def test_a_plain_line_gives_what_typer_gives(words: list[str]) -> None:
    found = quick.parse(generate, words)
    assert found is not None
    parameters = inspect.signature(generate).parameters.values()
    defaults = {each.name: each.default for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY}
    expected = with_typer(words)
    expected["stop"] = list(expected["stop"] or ()) or None  # no text and no list mean the same
    assert {**defaults, **found} == expected


@pytest.mark.parametrize("words", LEFT, ids=" ".join)
def test_what_is_not_plain_is_left_to_typer(words: list[str]) -> None:
    assert quick.parse(generate, words) is None


def test_a_request_for_completion_is_left_to_typer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_HONED_COMPLETE", "bash_source")
    assert quick.parse(generate, PLAIN[0]) is None


def test_a_plain_line_imports_no_typer(tiny_llama: Path) -> None:
    assert "generate" in QUICK
    program = (
        "import sys; from honed.cli.main import main; main();"
        "print(sorted(set(sys.modules) & {'typer', 'click', 'rich', 'pydantic', 'jinja2', 'huggingface_hub'}))"
    )
    command = [sys.executable, "-c", program, "generate", str(tiny_llama), "text", "--max-tokens", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
