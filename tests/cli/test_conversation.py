from __future__ import annotations

import json
from pathlib import Path

import pytest

from honed.cli.conversation import Conversation, user_path
from honed.errors import HonedError, MachineError


def talked(turns: int, system: str | None = None) -> Conversation:
    made = Conversation(system)
    for turn in range(turns):
        made.ask(f"question {turn}")
        made.reply(f"answer {turn}")
    return made


def test_messages_are_in_order_with_the_system_message_first() -> None:
    assert talked(1, "s").messages == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "question 0"},
        {"role": "assistant", "content": "answer 0"},
    ]


def test_withdraw_takes_a_turn_with_or_without_its_reply() -> None:
    conversation = talked(2)
    assert conversation.withdraw() == "question 1"
    conversation.ask("again")
    assert conversation.withdraw() == "again"
    assert conversation.messages == talked(1).messages
    conversation.withdraw()
    assert conversation.withdraw() is None


def test_clear_keeps_the_system_message() -> None:
    conversation = talked(2, "s")
    conversation.clear()
    assert conversation.messages == [{"role": "system", "content": "s"}]


def test_the_oldest_turns_are_forgotten_until_the_rest_fits() -> None:
    conversation = talked(5, "s")
    conversation.ask("last")
    assert conversation.fit(lambda messages: len(messages) <= 6) == 3
    assert [message["content"] for message in conversation.messages] == [
        "s", "question 3", "answer 3", "question 4", "answer 4", "last"
    ]  # fmt: skip


def test_the_last_turn_is_never_forgotten() -> None:
    conversation = talked(2, "s")
    conversation.ask("last")
    assert conversation.fit(lambda messages: False) == 2
    assert [message["content"] for message in conversation.messages] == ["s", "last"]


def test_saved_json_is_the_messages(tmp_path: Path) -> None:
    conversation = talked(2, "zwölf")
    conversation.save(tmp_path / "a.JSON")
    assert json.loads((tmp_path / "a.JSON").read_text("utf-8")) == conversation.messages


def test_other_names_give_markdown(tmp_path: Path) -> None:
    talked(1).save(tmp_path / "a.md")
    assert (tmp_path / "a.md").read_text("utf-8") == "**user**\n\nquestion 0\n\n**assistant**\n\nanswer 0\n"


def test_an_existing_file_is_not_replaced_nor_what_a_link_leads_to(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    (tmp_path / "link").symlink_to(mine)
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    for name in ("mine", "link", "dangling"):
        with pytest.raises(HonedError, match="exists already"):
            talked(1).save(tmp_path / name)
    assert mine.read_text() == "mine"
    assert not (tmp_path / "nothing").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(HonedError, match="no directory"):
        talked(1).save(tmp_path / "no" / "a.md")
    with pytest.raises(MachineError, match="cannot be written"):
        talked(1).save(tmp_path / ("a" * 300))
    with pytest.raises(MachineError, match="cannot be written"):
        talked(1).save(tmp_path / "a\0b")


def test_an_unknown_user_is_an_error_of_ours() -> None:
    with pytest.raises(HonedError, match="home"):
        user_path("~nosuchuserhere/x")
