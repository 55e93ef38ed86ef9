from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest
import typer
from typer.testing import CliRunner

import honed
from chatty_model import with_template
from honed.api.generation import Generation
from honed.api.language_model import LanguageModel
from honed.cli.declared import evaluated
from honed.cli.generate import TURN, generate
from honed.errors import HonedError, ParameterError, TemplateError
from honed.runtime.request import GREEDY
from terminal_session import TerminalSession

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(evaluated(generate))
runner = CliRunner()


def run(*arguments: object, stdin: str | None = None) -> str:
    result = runner.invoke(app, [str(argument) for argument in arguments], input=stdin, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def report(*arguments: object, stdin: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*arguments, "--json", stdin=stdin))
    return found


def test_json_holds_what_the_api_gives(tiny_llama: Path) -> None:
    found = report(tiny_llama, "the of to", "--max-tokens", 12, "--temperature", 0)
    with honed.load(tiny_llama) as model:
        expected = model.generate("the of to", max_tokens=12, temperature=0)
    assert found["text"] == expected.text
    assert found["tokens"] == list(expected.tokens)
    assert found["finish_reason"] == expected.finish_reason
    assert found["prompt_tokens"] == 3
    assert found["model"] == str(tiny_llama)
    assert set(found["timings"]) == {"load_s", "ttft_s", "decode_tok_s"}
    assert found["timings"]["load_s"] > 0


def test_plain_output_is_the_text(tiny_llama: Path) -> None:
    arguments = (tiny_llama, "the of to", "--max-tokens", 12, "--temperature", 0)
    assert run(*arguments) == report(*arguments)["text"] + "\n"


def test_a_dash_reads_the_prompt_from_stdin(tiny_llama: Path) -> None:
    arguments = ("--max-tokens", 5, "--temperature", 0)
    assert (
        report(tiny_llama, "-", *arguments, stdin="the of")["tokens"]
        == report(tiny_llama, "the of", *arguments)["tokens"]
    )


def test_options_reach_the_sampler(tiny_llama: Path) -> None:
    arguments: list[object] = [tiny_llama, "the of to", "--max-tokens", 16, "--temperature", 1.5, "--top-k", 30]
    arguments += ("--top-p", 0.99, "--min-p", 0.001, "--repetition-penalty", 1.1)
    first, again, other = (report(*arguments, "--seed", seed)["tokens"] for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_stop_may_be_repeated(tiny_llama: Path) -> None:
    arguments = (tiny_llama, "the of to", "--max-tokens", 12, "--seed", 5)
    text = report(*arguments)["text"]
    stop = text[4:7]
    found = report(*arguments, "--stop", "@@", "--stop", stop)
    assert found["text"] == text[: text.index(stop)]
    assert found["finish_reason"] == "stop"


def test_a_template_is_applied_wherever_there_is_one(tiny_llama: Path, tmp_path: Path) -> None:
    arguments = (with_template(tiny_llama, tmp_path / "model"), "the of", "--max-tokens", 3, "--temperature", 0)
    plain = report(*arguments)
    assert (plain["prompt_tokens"], plain["chat_template_applied"]) == (2 + 2, True)
    assert report(*arguments, "--chat")["tokens"] == plain["tokens"]
    assert report(*arguments, "--system", "to and in")["prompt_tokens"] == 4 + 2 + 2
    raw = report(*arguments, "--raw")
    assert (raw["prompt_tokens"], raw["chat_template_applied"]) == (2, False)
    with honed.load(arguments[0]) as model:
        assert raw["text"] == model.generate("the of", max_tokens=3, temperature=0).text


def test_a_model_without_a_template_goes_on_with_the_text(tiny_llama: Path) -> None:
    arguments = (tiny_llama, "the of", "--max-tokens", 3, "--temperature", 0)
    found = report(*arguments)
    assert (found["prompt_tokens"], found["chat_template_applied"]) == (2, False)
    assert report(*arguments, "--raw")["tokens"] == found["tokens"]
    for option in (["--chat"], ["--system", "the"]):
        with pytest.raises(TemplateError, match="no chat template"):
            run(*arguments, *option)


@pytest.mark.parametrize("option", [["--chat"], ["--system", "the"]])
def test_raw_and_what_asks_for_the_template_exclude_each_other(tiny_llama: Path, option: list[str]) -> None:
    with pytest.raises(HonedError, match=f"--raw leaves.*{option[0]} asks"):
        run(tiny_llama, "the", "--raw", *option)


@pytest.mark.parametrize("stdin", [subprocess.DEVNULL, subprocess.PIPE, None])
def test_the_reply_does_not_depend_on_what_standard_input_is(
    tiny_llama: Path, tmp_path: Path, stdin: int | None
) -> None:
    directory = with_template(tiny_llama, tmp_path / "model")
    command = [sys.executable, "-m", "honed.cli.main", "generate", str(directory), "the of", "--max-tokens", "4"]
    done = subprocess.run(command, stdin=stdin, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == run(directory, "the of", "--max-tokens", 4)
    with TerminalSession(*command[3:]) as terminal:
        assert terminal.wait() == 0
        assert done.stdout.rstrip("\n") in terminal.output.replace("\r\n", "\n")


def test_without_a_prompt_standard_input_is_read(tiny_llama: Path) -> None:
    arguments = ("--max-tokens", 5, "--temperature", 0)
    expected = report(tiny_llama, "the of", *arguments)["tokens"]
    for end in ("", "\n", "\r\n"):
        assert report(tiny_llama, *arguments, stdin=f"the of{end}")["tokens"] == expected
        assert report(tiny_llama, "-", *arguments, stdin=f"the of{end}")["tokens"] == expected


def test_without_a_prompt_a_terminal_is_told_what_to_do(tiny_llama: Path) -> None:
    with TerminalSession("generate", tiny_llama) as terminal:
        assert terminal.wait() == 2
        assert "there is no prompt" in terminal.output


def test_a_prompt_in_the_place_of_the_model() -> None:
    with pytest.raises(HonedError, match="a model comes before the prompt: honed generate smollm2 'Why is"):
        run("Why is the sky blue?")


def test_a_dash_on_a_terminal_reads_until_its_end(tiny_llama: Path) -> None:
    with TerminalSession("generate", tiny_llama, "-", "--max-tokens", 3) as terminal:
        terminal.read_until("Ctrl-D")
        terminal.type("the of\n\x04")
        assert terminal.wait() == 0


def test_a_prompt_that_is_no_text_or_nothing(tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(HonedError, match=r"UTF-8.*0xff at 4"):
        runner.invoke(app, [str(tiny_llama), "-"], input=b"the \xff", catch_exceptions=False)
    directory = with_template(tiny_llama, tmp_path / "model")
    for text in ("", " \n"):
        with pytest.raises(ParameterError, match="nothing to reply to"):
            run(directory, text)


def test_a_turn_of_a_chat_is_not_caught_in_a_loop_unless_greedy_is_asked_for(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # This model repeats itself more stubbornly than any that was trained.
    monkeypatch.setitem(TURN, "repetition_penalty", 9.0)
    directory = with_template(tiny_llama, tmp_path / "model")
    with honed.load(directory) as model:
        turn = [{"role": "user", "content": "the of"}]
        plain = model.generate(turn, max_tokens=24)
        penalized = model.generate(turn, max_tokens=24, **TURN)
        raw = model.generate("the of", max_tokens=24)
    assert plain.tokens != penalized.tokens
    found = {
        options: report(directory, "the of", "--max-tokens", 24, *options)["tokens"]
        for options in ((), ("--temperature", "0"), ("--raw",))
    }
    assert found == {
        (): list(penalized.tokens),
        ("--temperature", "0"): list(plain.tokens),
        ("--raw",): list(raw.tokens),
    }


@pytest.mark.real_model
@pytest.mark.slow
@pytest.mark.parametrize("recipe", [None, "int8", "int4"])
def test_the_first_question_of_all_is_answered(smollm2_gguf: Path, tmp_path: Path, recipe: str | None) -> None:
    model: Path = smollm2_gguf
    if recipe is not None:
        model = tmp_path / recipe
        honed.compress(smollm2_gguf, recipe=recipe, out=model)
    question = "What is the capital of France?"
    text = run(model, question)
    assert "Paris" in text
    assert run(model, question, stdin="something else\n") == text


def test_an_endless_standard_input_is_refused(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("honed.cli.generate.MOST_INPUT", 10)
    with pytest.raises(HonedError, match="over 10 characters"):
        run(tiny_llama, stdin="x" * 11)


class Silent(LanguageModel):
    """A model that ends its reply at once, with or without a template."""

    name = "silent"
    load_seconds = 0.0
    tokenizer = SimpleNamespace(chat_template=None)  # type: ignore[assignment]
    defaults = GREEDY

    def __init__(self, template: str | None, reason: str = "stop", tokens: tuple[int, ...] = ()) -> None:
        self.tokenizer = SimpleNamespace(chat_template=template)
        self._generation = Generation("", tokens, reason, 1, None, 0.0)  # type: ignore[arg-type]

    def stream(self, prompt: object, **settings: object) -> Self:  # type: ignore[override]
        return self

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def finish(self) -> Generation:
        return self._generation

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass


@pytest.mark.parametrize(
    ("model", "options", "hint"),
    [
        (Silent("template"), ["--raw"], "without --raw"),
        (Silent("template"), [], "--temperature"),
        (Silent(None), [], "--temperature"),
        (Silent(None, "length", (1, 2)), [], "no text in 2 tokens"),
        (Silent(None, "stop", (1,)), ["--json"], "no text before its end"),
    ],
)
def test_an_empty_reply_is_told_in_one_line(
    model: Silent, options: list[str], hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(honed, "load", lambda *words, **settings: model)
    result = runner.invoke(app, ["m", "text", *options], catch_exceptions=False)
    assert result.exit_code == 0
    assert result.stderr.count("\n") == 1
    assert hint in result.stderr


def test_the_whole_text_is_printed_even_where_it_ends_within_a_character(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Silent(None)
    monkeypatch.setattr(model, "finish", lambda: Generation("a\ufffd", (1,), "length", 1, None, 0.0))
    monkeypatch.setattr(Silent, "__iter__", lambda self: iter(["a", "\ufffd"]))
    monkeypatch.setattr(honed, "load", lambda *words, **settings: model)
    assert run("m", "text") == "a\ufffd\n"


@pytest.mark.parametrize("option", [("--temperature", 9), ("--backend", "cuda"), ("--max-tokens", 0)])
def test_bad_values_are_errors_of_ours(tiny_llama: Path, option: tuple[str, object]) -> None:
    with pytest.raises(ParameterError, match=option[0].strip("-").replace("-", "_")):
        run(tiny_llama, "the", *option)


def test_text_that_the_terminal_cannot_show_is_no_error() -> None:
    program = """
import sys
from honed.cli.loading import prepare_stdout
prepare_stdout()
print("caf\\u00e9 \\u65e5")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONIOENCODING": "ascii"}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "caf? ?\n"), done.stderr


@pytest.mark.real_model
def test_the_documented_command(smollm2_gguf: Path) -> None:
    found = report(smollm2_gguf, "The capital of France is", "--raw", "--max-tokens", 24, "--temperature", 0)
    assert found["text"].startswith(" Paris")
    assert len(found["tokens"]) <= 24
    assert found["finish_reason"] in ("stop", "length")
    assert report(smollm2_gguf, "Hi", "--max-tokens", 4)["chat_template_applied"]
