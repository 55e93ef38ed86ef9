"""Command lines that are wrong, in every verb: one sentence, the option or value in it, exit code 2."""

from __future__ import annotations

import pytest

from honed.cli.main import VERBS, main

# Verbs, and what they must be given.
NEEDED = {
    "generate": ["model", "text"], "chat": ["model"], "compress": ["model", "-o", "out"], "eval": ["model"],
    "bench": ["model"], "embed": ["model", "text"], "inspect": ["model"], "doctor": [], "demo": [], "models": [],
    "version": [], "families": [], "serve": ["model"], "run": ["model", "rows.jsonl"],
    "recipes": [], "bench-recipes": [], "sensitivity": ["model"], "costs": [],
    "export": ["model", "-o", "out.gguf"],
    "train": ["model", "--task", "text-generation", "--data", "a", "--validation", "b", "-o", "out"],
}  # fmt: skip
WITH_THREADS = ("generate", "chat", "compress", "eval", "embed", "bench", "demo", "serve", "run", "train")
HUGE = "9" * 400


def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    monkeypatch.setattr("sys.argv", ["honed", *words])
    with pytest.raises(SystemExit) as left:
        main()
    found = capsys.readouterr()
    assert (left.value.code, found.out) == (2, ""), found
    assert found.err.startswith("honed: ")
    assert found.err.count("\n") == 1
    assert len(found.err) < 500
    assert found.err.isprintable() or found.err[:-1].isprintable()
    return found.err


def test_every_verb_is_tried() -> None:
    assert set(VERBS) == set(NEEDED)


@pytest.mark.parametrize("verb", NEEDED)
class TestEveryVerb:
    def test_an_unknown_option(
        self, verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for option in ("--no-such-thing", "--no-such-thing=\x1b[31m", "-\u202e", "--" + "x" * 9999):
            error = told(monkeypatch, capsys, verb, *NEEDED[verb], option)
            assert "option" in error

    def test_too_many_words(
        self, verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        if verb in ("bench", "embed", "models", "serve", "families"):
            pytest.skip("takes several")
        error = told(monkeypatch, capsys, verb, *NEEDED[verb], "a\x1b[31m", "b" * 9999)
        assert f"honed {verb}" in error
        assert "is too much" in error

    def test_missing_words(
        self, verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        if not NEEDED[verb]:
            pytest.skip("needs none")
        error = told(monkeypatch, capsys, verb)
        assert " is missing: honed " in error
        assert verb in error

    def test_a_value_that_is_missing(
        self, verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        if verb in ("doctor", "version", "models", "recipes"):
            return
        option = {"inspect": "--revision", "families": "--into", "export": "--revision"}.get(verb, "--threads")
        error = told(monkeypatch, capsys, verb, *NEEDED[verb], option)
        assert f"{option} needs a value; honed {verb} --help" in error


@pytest.mark.parametrize("value", ["abc", "1.5", "", " ", "nan", "1e3", "\x1b[31m", "0x10", HUGE * 20])
@pytest.mark.parametrize("verb", WITH_THREADS)
def test_what_is_no_number(
    verb: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = told(monkeypatch, capsys, verb, *NEEDED[verb], "--threads", value)
    assert "--threads = " in error
    assert "must be a whole number" in error


def test_a_wrong_number_of_a_real_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    error = told(monkeypatch, capsys, "generate", "model", "text", "--temperature", "warm")
    assert error == "honed: --temperature = 'warm': must be a number\n"


def test_near_misses_and_names_of_other_tools(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "did you mean --threads?" in told(monkeypatch, capsys, "eval", "model", "--treads", "1")
    assert "is called --threads here" in told(monkeypatch, capsys, "eval", "model", "--num-threads", "1")
    assert "--json takes no value" in told(monkeypatch, capsys, "inspect", "model", "--json=1")
    assert "put -- before" in told(monkeypatch, capsys, "inspect", "-3 + 5")
    assert "generate" in told(monkeypatch, capsys, "generat", "model", "text")
    assert "verb" in told(monkeypatch, capsys, "no\x1b[31msuch" * 500)
    assert "verb" in told(monkeypatch, capsys, "")
