from __future__ import annotations

import re
from pathlib import Path

import pytest

from honed.cli import quick
from honed.cli.generate import generate
from honed.cli.main import VERBS, make_app
from honed.cli.pointers import POINTERS, explain_option, explain_verb
from honed.errors import HonedError

OPTIONS = quick.options(generate)


def test_no_pointer_hides_a_verb() -> None:
    assert not POINTERS.keys() & VERBS.keys()


@pytest.mark.parametrize("word", POINTERS)
def test_a_verb_of_another_tool_gets_one_sentence_with_a_command_of_ours(word: str) -> None:
    sentence = explain_verb(word, [], list(VERBS))
    assert "\n" not in sentence
    command = sentence.rpartition("type: ")[2].split()
    assert command[0] in ("honed", "pip")
    if command[0] == "honed":
        assert command[1] in VERBS
        options = quick.options(getattr(__import__(f"honed.cli.{command[1]}", fromlist=["x"]), VERBS[command[1]]))
        assert all(flag in options for flag in command if flag.startswith("--"))


def test_every_pointed_command_is_read_by_its_verb(monkeypatch: pytest.MonkeyPatch) -> None:
    """Placeholders filled in, click accepts the command line."""
    import typer

    for _, command in POINTERS.values():
        words = command.split()
        if words[0] != "honed":
            continue
        app: object = typer.main.get_command(make_app([words[1]]))
        app.commands[words[1]].make_context(words[1], words[2:])  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["pull", "--quiet", "org/name"], "honed generate org/name PROMPT"),
        (["rm", "packed"], "honed models remove packed"),
        (["quantize", "a model", "q4"], "honed compress MODEL --recipe int4 -o DIRECTORY"),
        (["List"], "honed models"),
        (["quantise"], "honed compress"),
        (["quantizee"], "honed compress"),
        (["chta"], "did you mean honed chat"),
        (["smollm2"], "honed chat smollm2"),
        (["smollm2", "Hi"], "honed generate smollm2 PROMPT"),
        (["pypi:x"], "honed chat pypi:x"),
        (["--temperature", "1"], "a verb comes first"),
        (["xyzzy"], "honed --help"),
    ],
)
def test_what_was_meant(words: list[str], expected: str) -> None:
    assert expected in explain_verb(words[0], words[1:], list(VERBS))


def test_a_directory_is_a_model(tmp_path: Path) -> None:
    assert f"honed chat {tmp_path}" in explain_verb(str(tmp_path), [], list(VERBS))


def test_a_hostile_word_is_shown_short_and_safe() -> None:
    error = HonedError(explain_verb("\x1b[2J" + "x" * 100_000, ["\x1b" * 9], list(VERBS)))
    assert len(str(error)) < 500
    assert "\x1b" not in str(error)
    explain_verb("a/" + "x" * 100_000, [], list(VERBS))
    explain_verb("a/\0", [], list(VERBS))


@pytest.mark.parametrize("word", ["-1 is what?", "- one\n- two", "-5", "--5", "---", "-what?", "-- is a dash"])
def test_a_prompt_that_begins_with_a_dash(word: str) -> None:
    with pytest.raises(HonedError, match="put -- before a prompt"):
        explain_option("generate", ["smollm2", word], OPTIONS)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["m", "Hi", "-n", "5"], "--max-tokens N"),
        (["m", "Hi", "--max-new-tokens=5"], "--max-tokens N"),
        (["-m", "x"], "the first argument"),
        (["m", "-p", "Hi"], "the second argument"),
    ],
)
def test_options_of_other_tools(words: list[str], expected: str) -> None:
    with pytest.raises(HonedError, match=re.escape(expected)):
        explain_option("generate", words, OPTIONS)


@pytest.mark.parametrize(
    "words",
    [
        ["m", "text", "--max-tokens", "-5"],
        ["m", "--stop", "-x", "text"],
        ["m", "text", "--system=-x y"],
        ["m", "--", "-1 is what?"],
        ["m", "-"],
        ["m", "text", "-h"],
        ["m", "text", "--help"],
        ["m", "text", "--tempreature", "1"],
    ],
)
def test_what_is_left_to_the_reader_of_the_command_line(words: list[str]) -> None:
    explain_option("generate", words, OPTIONS)
