from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import pytest
import typer
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import models, pre_tokenizers
from typer.testing import CliRunner

import honed
from chatty_model import with_template
from hash_backend import VOCABULARY, HashBackend
from honed.api.language_model import LanguageModel
from honed.cli import chat as chat_module
from honed.cli.chat import Messages, chat
from honed.errors import HonedError
from honed.text.tokenizer import Tokenizer

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(chat)
runner = CliRunner()
PROGRAM = """
import sys
import typer
from honed.cli.chat import chat
app = typer.Typer(pretty_exceptions_enable=False)
app.command()(chat)
app()
"""


@pytest.fixture
def hash_model(monkeypatch: pytest.MonkeyPatch) -> LanguageModel:
    """What `honed.load` gives in these tests: every reply depends on all that was said before."""
    words = [f"w{i}" for i in range(VOCABULARY - 1)]
    fast = FastTokenizer(models.WordLevel({word: i for i, word in enumerate(["?", *words])}, unk_token="?"))
    fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    template = "{% for m in messages %}{{ m.content }} {% endfor %}"
    model = LanguageModel("hash", HashBackend(), Tokenizer(fast, frozenset(), chat_template=template))
    monkeypatch.setattr(honed, "load", lambda *arguments, **settings: model)
    return model


def run(*arguments: object, stdin: str) -> str:
    result = runner.invoke(app, ["hash", *map(str, arguments)], input=stdin, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def replies(model: LanguageModel, turns: list[str], system: str | None = None) -> list[str]:
    """The same conversation through the API."""
    messages: Messages = [] if system is None else [{"role": "system", "content": system}]
    for turn in turns:
        messages.append({"role": "user", "content": turn})
        messages.append({"role": "assistant", "content": model.generate(messages, max_tokens=6).text})
    return [message["content"] for message in messages if message["role"] == "assistant"]


def test_a_pipe_gives_one_reply_a_line_with_history(hash_model: LanguageModel) -> None:
    expected = replies(hash_model, ["w1 w2", "w3", "w4 w5"])
    found = run("--max-tokens", 6, stdin="w1 w2\n\nw3\r\n  \nw4 w5")
    assert found.splitlines() == expected


def test_the_system_message_leads(hash_model: LanguageModel) -> None:
    expected = replies(hash_model, ["w1", "w2"], "w9 w8")
    assert expected != replies(hash_model, ["w1", "w2"])
    assert run("--max-tokens", 6, "--system", "w9 w8", stdin="w1\nw2\n").splitlines() == expected


def test_a_full_context_forgets_the_oldest_turns(hash_model: LanguageModel) -> None:
    messages: Messages = [{"role": "system", "content": "w1"}]
    for turn in range(60):
        messages += [{"role": "user", "content": "w2 " * 9}, {"role": "assistant", "content": f"w{turn % 40}"}]
    messages.append({"role": "user", "content": "w3"})
    before = list(messages)
    chat_module._forget(messages, hash_model, 100)
    assert messages[0] == before[0]
    assert messages[1:] == before[-len(messages) + 1 :]
    assert messages[1]["role"] == "user"
    left = hash_model.context - len(hash_model.encode(messages)) - 100
    assert 0 <= left < 10  # one more turn has ten tokens


def test_without_a_template_a_pipe_fails_with_the_reason(tiny_llama: Path) -> None:
    with pytest.raises(HonedError, match="no chat template"):
        runner.invoke(app, [str(tiny_llama)], input="the of\n", catch_exceptions=False)


class Terminal:
    """`honed chat` on a terminal of its own."""

    def __init__(self, *arguments: object) -> None:
        self.master, slave = pty.openpty()
        command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env=os.environ | {"TERM": "dumb"}
        )
        os.close(slave)
        self.output = ""

    def read_until(self, text: str, times: int = 1) -> None:
        deadline = time.monotonic() + 60
        os.set_blocking(self.master, False)
        while self.output.count(text) < times:
            assert time.monotonic() < deadline, f"{text!r} did not come: {self.output!r}"
            try:
                self.output += os.read(self.master, 4096).decode(errors="replace")
            except BlockingIOError:
                time.sleep(0.02)
            except OSError:  # the process closed the terminal
                assert self.output.count(text) >= times, self.output
                return

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)


def test_ctrl_c_ends_the_reply_and_ctrl_d_the_program(tiny_llama: Path, tmp_path: Path) -> None:
    directory = with_template(tiny_llama, tmp_path / "model")
    with Terminal(directory, "--max-tokens", 200, "--temperature", 1.8, "--seed", 1) as terminal:
        terminal.read_until("> ")
        terminal.process.send_signal(signal.SIGINT)  # at the prompt: a new prompt
        terminal.read_until("\n> ", 1)
        terminal.type("the of\n")
        terminal.read_until("the of\r\n")
        terminal.process.send_signal(signal.SIGINT)
        terminal.read_until("\n> ", 2)
        terminal.type("to and\n")
        terminal.read_until("\n> ", 3)
        terminal.type("\x04")
        assert terminal.process.wait(timeout=60) == 0
        assert "Traceback" not in terminal.output


def test_an_error_on_a_terminal_is_told_and_the_conversation_goes_on(tiny_llama: Path) -> None:
    with Terminal(tiny_llama) as terminal:
        terminal.read_until("> ")
        terminal.type("the of\n")
        terminal.read_until("no chat template")
        terminal.read_until("\n> ")
        terminal.type("\x04")
        assert terminal.process.wait(timeout=60) == 0
