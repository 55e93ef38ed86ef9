"""Command lines of `honed generate`: where the quick reader answers, it answers as typer does."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from fuzzing.json_mutations import mutate_json
from fuzzing.target import Target
from honed.cli import quick
from honed.cli.generate import generate
from honed.errors import HonedError


@cache
def _command() -> Any:
    import typer

    from honed.cli.main import make_app

    group: Any = typer.main.get_command(make_app(["generate"]))
    return group.commands["generate"]


def _with_typer(words: list[str]) -> dict[str, Any] | None:
    try:
        given = dict(_command().make_context("generate", list(words)).params)
    except BaseException as error:
        if type(error).__module__.startswith(("click", "typer")) or isinstance(error, SystemExit):
            return None
        raise
    return given


def read(data: bytes, folder: Path) -> None:
    try:
        words = json.loads(data)
    except (ValueError, RecursionError):
        raise HonedError("no list of words") from None
    if not isinstance(words, list) or not all(isinstance(word, str) and "\0" not in word for word in words):
        raise HonedError("no list of words")
    found, expected = quick.parse(generate, words), _with_typer(words)
    if found is None:
        return
    assert expected is not None, f"read without typer, which refuses it: {words!r:.200}"
    expected["stop"] = list(expected["stop"] or ()) or None
    assert {**_usual(), **found} == expected, f"{words!r:.200}"


@cache
def _usual() -> dict[str, Any]:
    """What the verb takes where nothing is said."""
    parameters = inspect.signature(generate).parameters.values()
    return {one.name: one.default for one in parameters if one.default is not inspect.Parameter.empty}


def seeds() -> Sequence[bytes]:
    lines = [
        ["model", "text"],
        ["model", "--max-tokens=12", "text", "--temperature", "0.5", "--top-k=0"],
        ["model", "text", "--stop", "one", "--stop=two words", "--json", "--chat"],
        ["model", "text", "--seed", "1", "--dtype=auto", "--kv", "int8", "--threads", "2", "--isa", "avx2"],
        ["model", "text", "--system", "Greek.", "--top-p", "0.25", "--min-p=1.0", "--context", "0032"],
        ["model", "-", "--revision=main", "--backend", "native"],
    ]
    return [json.dumps(line).encode() for line in lines]


TARGET = Target("command_line", read, seeds, mutate_json)
