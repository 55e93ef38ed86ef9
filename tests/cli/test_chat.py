from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Self

import pytest
import typer
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import models, pre_tokenizers
from typer.testing import CliRunner, Result

import honed
from chatty_model import with_template
from hash_backend import VOCABULARY, HashBackend
from honed.api.generation import Generation
from honed.api.language_model import LanguageModel
from honed.cli import chat as chat_module
from honed.cli.chat import chat
from honed.cli.chat_commands import Chat
from honed.cli.chat_settings import CHAT, ChatSettings
from honed.cli.conversation import Conversation, Messages
from honed.cli.declared import evaluated
from honed.errors import HonedError
from honed.runtime.request import GREEDY
from honed.text.tokenizer import Tokenizer
from terminal_session import TerminalSession

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(evaluated(chat))
runner = CliRunner()


def make_hash_model() -> LanguageModel:
    """Every reply depends on all that was said before."""
    words = [f"w{i}" for i in range(VOCABULARY - 1)]
    fast = FastTokenizer(models.WordLevel({word: i for i, word in enumerate(["?", *words])}, unk_token="?"))
    fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    template = "{% for m in messages %}{{ m.content }} {% endfor %}"
    return LanguageModel("hash", HashBackend(), Tokenizer(fast, frozenset(), chat_template=template))


@pytest.fixture
def hash_model(monkeypatch: pytest.MonkeyPatch) -> LanguageModel:
    """What `honed.load` gives in these tests, for comparison: chat closes the one that it got."""
    monkeypatch.setattr(honed, "load", lambda *arguments, **settings: make_hash_model())
    return make_hash_model()


def invoke(*arguments: object, stdin: str) -> Result:
    return runner.invoke(app, ["hash", "--max-tokens", "6", *map(str, arguments)], input=stdin, catch_exceptions=False)


def run(*arguments: object, stdin: str) -> str:
    result = invoke("--temperature", 0, *arguments, stdin=stdin)
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
    found = run(stdin="w1 w2\n\nw3\r\n  \nw4 w5")
    assert found.splitlines() == expected


def test_the_system_message_leads(hash_model: LanguageModel) -> None:
    expected = replies(hash_model, ["w1", "w2"], "w9 w8")
    assert expected != replies(hash_model, ["w1", "w2"])
    assert run("--system", "w9 w8", stdin="w1\nw2\n").splitlines() == expected
    assert run(stdin="/system w9 w8\nw1\nw2\n").splitlines()[1:] == expected


def test_a_block_from_a_pipe_is_one_turn(hash_model: LanguageModel) -> None:
    expected = replies(hash_model, ["w1\n/exit\nw2", "w3"])
    assert run(stdin='"""w1\n/exit\nw2"""\nw3\n').splitlines() == expected


def test_two_slashes_send_one(hash_model: LanguageModel) -> None:
    assert run(stdin="//exit w1\n").splitlines() == replies(hash_model, ["/exit w1"])


def test_exit_leaves_the_rest_unread(hash_model: LanguageModel) -> None:
    assert run(stdin="w1\n/exit\nw2\n").splitlines() == replies(hash_model, ["w1"])


def test_undo_and_retry(hash_model: LanguageModel) -> None:
    first, second = replies(hash_model, ["w1", "w2"])
    assert run(stdin="w1\nw3\n/undo\nw2\n").splitlines()[-1] == second
    assert run(stdin="w1\n/retry\n").splitlines()[-1] == first  # greedy
    found = invoke("--seed", 5, stdin="w1\n/retry\n").stdout.splitlines()
    assert len(set(found)) == 2
    assert invoke("--seed", 5, stdin="w1\n/retry\n").stdout.splitlines() == found


def test_by_default_chat_samples_and_a_seed_repeats_it(hash_model: LanguageModel) -> None:
    one, other, again = (invoke("--seed", seed, stdin="w1\nw2\n").stdout for seed in (1, 2, 1))
    assert one == again != other
    settings = asdict(replace(CHAT, seed=1))
    expected = hash_model.generate([{"role": "user", "content": "w1"}], max_tokens=6, **settings).text
    assert one.splitlines()[0] == expected


def test_set_reaches_the_sampler(hash_model: LanguageModel) -> None:
    lines = invoke("--seed", 1, stdin="/set temperature 0\n/set repetition_penalty 1\nw1\n").stdout.splitlines()
    assert lines[-1] == replies(hash_model, ["w1"])[0]


def test_an_unknown_command_from_a_pipe_ends_with_the_reason(hash_model: LanguageModel) -> None:
    with pytest.raises(HonedError, match="// sends a line"):
        invoke(stdin="/usr/bin/env w1\n")


def test_replies_alone_are_on_standard_output(hash_model: LanguageModel) -> None:
    result = invoke("--temperature", 0, stdin="w1\n")
    assert result.stdout.splitlines() == replies(hash_model, ["w1"])
    assert result.stderr == ""


def test_a_full_context_forgets_the_oldest_turns_and_says_so_once(hash_model: LanguageModel) -> None:
    long = "w2 " * (hash_model.context // 5)
    result = invoke("--temperature", 0, stdin=f"{long}\n" * 8)
    assert result.exit_code == 0
    assert result.stderr.count("oldest turns are forgotten") == 1
    assert len(result.stdout.splitlines()) == 8


def test_room_is_left_for_the_reply(hash_model: LanguageModel) -> None:
    conversation = Conversation("w1")
    for turn in range(60):
        conversation.ask("w2 " * 9)
        conversation.reply(f"w{turn % 40}")
    conversation.ask("w3")
    before = conversation.messages
    talk = chat_module._Talk(hash_model, Chat(conversation, ChatSettings(GREEDY, 100)))
    talk._forget()
    messages = conversation.messages
    assert messages[0] == before[0]
    assert messages[1:] == before[-len(messages) + 1 :]
    assert messages[1]["role"] == "user"
    left = hash_model.context - len(hash_model.encode(messages)) - 100
    assert 0 <= left < 10  # one more turn has ten tokens


class Saying(LanguageModel):
    """A model that says these pieces, and remembers what it was asked."""

    name = "saying"
    context = 10_000
    defaults = GREEDY
    tokenizer = SimpleNamespace(chat_template="template")  # type: ignore[assignment]

    def __init__(self, *pieces: str, ends: bool = True) -> None:
        self.pieces = pieces
        self.ends = ends
        self.asked: list[Messages] = []

    def encode(self, messages: Messages) -> list[int]:  # type: ignore[override]
        return [0]

    def stream(self, messages: Messages, **settings: object) -> Self:  # type: ignore[override]
        self.asked.append(messages)
        self._left: Iterator[str] = iter(self.pieces)
        return self

    def poll(self) -> str | None:
        piece = next(self._left, None)
        self.generation = Generation("", (1,), "stop", 1, None, 0.0) if piece is None and self.ends else None
        return piece

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass


def say(model: Saying, monkeypatch: pytest.MonkeyPatch, stdin: str) -> Result:
    monkeypatch.setattr(honed, "load", lambda *words, **settings: model)
    return invoke(stdin=stdin)


def test_a_cut_character_does_not_enter_the_history(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Saying("caf", "\ufffd")
    assert say(model, monkeypatch, "one\ntwo\n").stdout == "caf\ncaf\n"
    assert model.asked[1][1] == {"role": "assistant", "content": "caf"}


def test_a_reply_that_repeats_itself_for_ever_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Saying("Well: ", *["la femme, "] * 100_000)
    result = say(model, monkeypatch, "one\ntwo\n")
    assert len(result.stdout) < 2 * 600
    assert result.stderr.count("repeated itself") == 2
    remembered = model.asked[1][1]["content"]
    assert remembered.startswith("Well: la femme")
    assert 0 < remembered.count("la femme") < 10


def test_an_empty_reply_takes_its_turn_back(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Saying()
    result = say(model, monkeypatch, "one\ntwo\n")
    assert [len(messages) for messages in model.asked] == [1, 1]
    assert result.stderr.count("the reply was empty") == 2


def test_without_a_template_the_verb_to_use_is_named(tiny_llama: Path) -> None:
    with pytest.raises(HonedError, match=r"no chat template.*honed generate"):
        runner.invoke(app, [str(tiny_llama)], input="the of\n", catch_exceptions=False)


def test_closed_standard_input_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(HonedError, match="standard input is closed"):
        chat("m")


@pytest.fixture(scope="module")
def chatty(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_template(tiny_llama, tmp_path_factory.mktemp("chatty") / "model")


def contents(path: Path) -> list[str]:
    """What users said in a saved conversation."""
    return [message["content"] for message in json.loads(path.read_text()) if message["role"] == "user"]


def test_ctrl_c_ends_the_reply_and_ctrl_d_the_program(chatty: Path) -> None:
    with TerminalSession("chat", chatty, "--max-tokens", 200, "--temperature", 1.8, "--seed", 1) as terminal:
        assert "/help lists commands" in terminal.read_until("> ")
        terminal.type("\x03")  # at the prompt: a new prompt
        assert "Ctrl-C again" in terminal.read_until("\n> ")
        terminal.type("the of\n")
        terminal.read_until("the of\r\n")
        terminal.type("\x03")
        terminal.read_until("\n> ")
        terminal.type("to and\n")
        terminal.read_until("\n> ")
        terminal.type("\x04")
        assert terminal.wait() == 0
        assert "Traceback" not in terminal.output


def test_ctrl_c_twice_at_the_prompt_ends_the_chat(chatty: Path) -> None:
    with TerminalSession("chat", chatty) as terminal:
        terminal.read_until("> ")
        terminal.type("half a line\x03")
        terminal.read_until("Ctrl-C again")
        terminal.read_until("> ")
        terminal.ask("/set")  # anything said between them, and it was the first one again
        terminal.type("\x03")
        terminal.read_until("Ctrl-C again")
        terminal.read_until("> ")
        terminal.type("\x03")
        assert terminal.wait() == 0


@pytest.mark.parametrize("term", ["xterm-256color", "dumb"])
def test_a_paste_is_one_turn(chatty: Path, tmp_path: Path, term: str) -> None:
    with TerminalSession("chat", chatty, "--temperature", 0, "--max-tokens", 3, term=term) as terminal:
        terminal.read_until(terminal.prompt)
        # The second as a terminal sends it that does not mark pastes.
        for text in ("\x1b[200~the\n/exit\n\nof\n\x1b[201~", "to\n/unknown\n\nand", '"""in\nis\n"""'):
            terminal.ask(text)
        terminal.ask(f"/save {tmp_path}/a.json")
        terminal.type("it\nyou\n/exit\n")  # but a command is one
        assert terminal.wait() == 0
    assert contents(tmp_path / "a.json") == ["the\n/exit\n\nof", "to\n/unknown\n\nand", "in\nis"]


def test_without_readline_too(chatty: Path, tmp_path: Path) -> None:
    (tmp_path / "readline.py").write_text("raise ImportError('not here')")
    with TerminalSession(
        "chat", chatty, "--temperature", 0, "--max-tokens", 3, variables={"PYTHONPATH": str(tmp_path)}
    ) as terminal:
        terminal.read_until("> ")
        terminal.ask("to\nand")
        terminal.ask(f"/save {tmp_path}/a.json")
        terminal.type("/exit\n")
        assert terminal.wait() == 0
    assert contents(tmp_path / "a.json") == ["to\nand"]


def test_an_error_on_a_terminal_is_told_and_the_conversation_goes_on(chatty: Path, tmp_path: Path) -> None:
    with TerminalSession("chat", chatty, "--temperature", 0, "--max-tokens", 3, "--context", 32) as terminal:
        terminal.read_until("> ")
        assert "must leave room for a reply" in terminal.ask("the " * 40)
        assert "is no command" in terminal.ask("/nothing")
        terminal.ask("of")
        terminal.ask(f"/save {tmp_path}/a.json")
        terminal.type("\x04")
        assert terminal.wait() == 0
    assert contents(tmp_path / "a.json") == ["of"]
