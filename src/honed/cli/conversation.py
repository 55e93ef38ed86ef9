"""The messages of one chat: what is added, taken back, forgotten and saved. Not here: asking the model (`cli/chat.py`).

After a system message, if there is one, turns of the user and replies follow each other in pairs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from honed.errors import HonedError, MachineError, plain

Messages = list[dict[str, str]]


class Conversation:
    """What was said so far, in order."""

    def __init__(self, system: str | None = None) -> None:
        self.system = system
        self._turns: Messages = []

    @property
    def messages(self) -> Messages:
        """As a chat template takes them."""
        return [*self._system_message(), *self._turns]

    @property
    def turns(self) -> int:
        """How many of the user's have a reply or wait for one."""
        return (len(self._turns) + 1) // 2

    def ask(self, text: str) -> None:
        """The user's turn; a reply or `withdraw` comes next."""
        self._turns.append({"role": "user", "content": text})

    def reply(self, text: str) -> None:
        """The model's turn."""
        self._turns.append({"role": "assistant", "content": text})

    def withdraw(self) -> str | None:
        """Takes the last turn of the user back, with its reply; its text, None where there is none."""
        if self._turns and self._turns[-1]["role"] == "assistant":
            self._turns.pop()
        return self._turns.pop()["content"] if self._turns else None

    def clear(self) -> None:
        """Forgets every turn; the system message stays."""
        self._turns.clear()

    def fit(self, fits: Callable[[Messages], bool]) -> int:
        """Forgets the oldest turns until the rest fits, at most all but the last; how many were forgotten."""
        forgotten = 0
        while len(self._turns) > 2 and not fits(self.messages):
            del self._turns[:2]
            forgotten += 1
        return forgotten

    def save(self, path: Path) -> None:
        """Writes a new file: messages as JSON where its name ends in .json, else Markdown. HonedError if it exists."""
        if path.suffix.lower() == ".json":
            text = json.dumps(self.messages, indent=2, ensure_ascii=False) + "\n"
        else:
            text = "\n".join(f"**{message['role']}**\n\n{message['content']}\n" for message in self.messages)
        try:
            with path.open("x", encoding="utf-8", errors="surrogateescape") as file:
                file.write(text)
        except FileExistsError:
            raise HonedError(f"/save: {path} exists already; choose another name") from None
        except (FileNotFoundError, NotADirectoryError):
            raise HonedError(f"/save: there is no directory {path.parent}") from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else plain(str(error))
            raise MachineError(f"/save: {path} cannot be written: {reason}") from None

    def _system_message(self) -> Messages:
        return [] if self.system is None else [{"role": "system", "content": self.system}]


def user_path(text: str) -> Path:
    """A path as a user types it, ~ for the home directory. HonedError where there is none."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise HonedError(f"{text}: {error}") from None
