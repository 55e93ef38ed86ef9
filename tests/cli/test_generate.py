from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import honed
from chatty_model import with_template
from honed.cli.generate import generate
from honed.errors import ParameterError

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(generate)
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


def test_system_and_chat_apply_the_template(tiny_llama: Path, tmp_path: Path) -> None:
    arguments = (with_template(tiny_llama, tmp_path / "model"), "the of", "--max-tokens", 3, "--temperature", 0)
    assert report(*arguments, "--chat")["prompt_tokens"] == 2 + 2
    assert report(*arguments, "--system", "to and in")["prompt_tokens"] == 4 + 2 + 2
    assert report(*arguments)["prompt_tokens"] == 2


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
    found = report(smollm2_gguf, "The capital of France is", "--max-tokens", 24, "--temperature", 0)
    assert found["text"].startswith(" Paris")
    assert len(found["tokens"]) <= 24
    assert found["finish_reason"] in ("stop", "length")
