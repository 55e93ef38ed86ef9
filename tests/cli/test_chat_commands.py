from __future__ import annotations

from pathlib import Path

import pytest

from honed.cli.chat_commands import COMMANDS, HELP, Chat, is_command, run_command
from honed.cli.chat_settings import CHAT, ChatSettings
from honed.cli.conversation import Conversation
from honed.errors import HonedError
from honed.runtime.request import GREEDY


@pytest.fixture
def chat() -> Chat:
    made = Chat(Conversation("be kind"), ChatSettings(CHAT, 9))
    for number in (1, 2):
        made.conversation.ask(f"q{number}")
        made.conversation.reply(f"a{number}")
    return made


def test_help_names_every_command(chat: Chat) -> None:
    assert run_command("/help", chat) == HELP
    for name in COMMANDS:
        assert name in HELP or name == "/?"


@pytest.mark.parametrize("line", ["/exit", "/quit", "/bye", "/EXIT  "])
def test_exit_ends(chat: Chat, line: str) -> None:
    assert is_command(line)
    assert run_command(line, chat) == ""
    assert chat.ended


def test_retry_asks_the_last_turn_again(chat: Chat) -> None:
    run_command("/retry", chat)
    assert chat.asked_again == "q2"
    assert [message["content"] for message in chat.conversation.messages] == ["be kind", "q1", "a1"]


def test_retry_of_a_greedy_reply_says_that_it_will_be_the_same(chat: Chat) -> None:
    chat.settings = ChatSettings(GREEDY, 9)
    assert "will be the same" in run_command("/retry", chat)


def test_undo_shows_what_it_took(chat: Chat) -> None:
    assert "q2" in run_command("/undo", chat)
    assert chat.conversation.withdraw() == "q1"
    for command in ("/undo", "/retry"):
        with pytest.raises(HonedError, match="no turn yet"):
            run_command(command, chat)


def test_system_shows_sets_and_removes(chat: Chat) -> None:
    assert "be kind" in run_command("/system", chat)
    assert "in Greek" in run_command("/system Answer in Greek.", chat)
    assert chat.conversation.system == "Answer in Greek."
    assert "no system message" in run_command("/system none", chat)
    assert chat.conversation.system is None


def test_clear_forgets_all_turns(chat: Chat) -> None:
    assert "system message stays" in run_command("/clear", chat)
    assert [message["role"] for message in chat.conversation.messages] == ["system"]


def test_set_shows_and_changes(chat: Chat) -> None:
    assert run_command("/set", chat) == chat.settings.shown()
    for line in ("/set temperature 0.25", "/set temperature=0.25", "/set  temperature   0.25"):
        chat.settings = ChatSettings(CHAT, 9)
        assert "temperature 0.25" in run_command(line, chat)
        assert chat.settings.sampling.temperature == 0.25
    with pytest.raises(HonedError, match="a name and a value"):
        run_command("/set temperature", chat)


def test_save_writes_what_was_said(chat: Chat, tmp_path: Path) -> None:
    assert str(tmp_path / "a b.md") in run_command(f"/save {tmp_path}/a b.md", chat)
    assert "a2" in (tmp_path / "a b.md").read_text()
    with pytest.raises(HonedError, match="needs a name"):
        run_command("/save", chat)
    with pytest.raises(HonedError, match="nothing has been said"):
        run_command(f"/save {tmp_path}/c", Chat(Conversation(), chat.settings))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("/retyr", "did you mean /retry"),
        ("/usr/bin/env is what?", "// sends"),
        ("/exit now", "takes nothing"),
        ("/", "no command"),
    ],
)
def test_what_is_no_command_says_what_to_do(chat: Chat, line: str, problem: str) -> None:
    with pytest.raises(HonedError, match=problem):
        run_command(line, chat)


@pytest.mark.parametrize("line", ["/usr/bin", "hello /exit", " /exit", "//exit", "", "/"])
def test_other_lines_are_no_commands(line: str) -> None:
    assert not is_command(line)
