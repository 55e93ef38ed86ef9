"""The commands of `honed chat`: lines that begin with a slash. Not here: turns and replies (`cli/chat.py`)."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from honed.cli.chat_settings import ChatSettings
from honed.cli.conversation import Conversation, user_path
from honed.errors import HonedError, quoted

EXIT = frozenset({"/exit", "/quit", "/bye"})
HELP = """\
/help               these lines
/exit               ends the chat; so do /quit, /bye and Ctrl-D
/retry              answers your last turn again
/undo               takes your last turn and its reply back
/clear              forgets all turns; the system message stays
/system             shows the system message
/system TEXT        sets it; /system none removes it
/set                shows how replies are sampled
/set NAME VALUE     changes that, for instance /set temperature 0.3
/save FILE          writes the conversation: JSON for a name in .json, else Markdown
//...               sends a line that begins with one slash
A pasted text is one turn, and so is what stands between \"\"\" and \"\"\".
Ctrl-C ends the reply that is being written."""


@dataclass
class Chat:
    """What commands act on. asked_again: the text that /retry gives to the model once more."""

    conversation: Conversation
    settings: ChatSettings
    ended: bool = False
    asked_again: str | None = None


def is_command(line: str) -> bool:
    """Whether a line is one of the commands."""
    return bool(words := line.split(maxsplit=1)) and line.startswith("/") and words[0].lower() in COMMANDS


def run_command(line: str, chat: Chat) -> str:
    """Does what a line that begins with a slash says; what to tell the user, maybe nothing. Errors: HonedError."""
    name, _, rest = line.strip().partition(" ")
    command = COMMANDS.get(name.lower())
    if command is None:
        near = difflib.get_close_matches(name.lower(), COMMANDS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise HonedError(
            f"{quoted(name)} is no command: {hint}/help lists them, and // sends a line that begins with /"
        )
    takes_text = name.lower() in ("/system", "/set", "/save")
    if rest.strip() and not takes_text:
        raise HonedError(f"{name} takes nothing behind it, found {quoted(rest.strip())}")
    return command(chat, rest.strip())


def _help(chat: Chat, rest: str) -> str:
    return HELP


def _exit(chat: Chat, rest: str) -> str:
    chat.ended = True
    return ""


def _retry(chat: Chat, rest: str) -> str:
    text = chat.conversation.withdraw()
    if text is None:
        raise HonedError("/retry: there is no turn yet")
    chat.asked_again = text
    if chat.settings.sampling.temperature == 0:
        return "temperature is 0, so the reply will be the same; /set temperature 0.7 lets it differ"
    return ""


def _undo(chat: Chat, rest: str) -> str:
    text = chat.conversation.withdraw()
    if text is None:
        raise HonedError("/undo: there is no turn yet")
    return f"taken back: {quoted(text)}"


def _clear(chat: Chat, rest: str) -> str:
    chat.conversation.clear()
    kept = "; the system message stays" if chat.conversation.system is not None else ""
    return f"all turns are forgotten{kept}"


def _system(chat: Chat, rest: str) -> str:
    if rest:
        chat.conversation.system = None if rest.lower() == "none" else rest
    system = chat.conversation.system
    return "there is no system message" if system is None else f"system message: {system}"


def _set(chat: Chat, rest: str) -> str:
    if rest:
        name, _, value = rest.replace("=", " ", 1).partition(" ")
        if not value.strip():
            raise HonedError("/set takes a name and a value, for instance /set temperature 0.3")
        chat.settings = chat.settings.changed(name, value.strip())
    return chat.settings.shown()


def _save(chat: Chat, rest: str) -> str:
    if not rest:
        raise HonedError("/save needs a name, for instance /save chat.md")
    if not chat.conversation.messages:
        raise HonedError("/save: nothing has been said yet")
    path = user_path(rest)
    chat.conversation.save(path)
    return f"saved in {path}"


COMMANDS: dict[str, Callable[[Chat, str], str]] = {
    "/help": _help,
    "/?": _help,
    **dict.fromkeys(sorted(EXIT), _exit),
    "/retry": _retry,
    "/undo": _undo,
    "/clear": _clear,
    "/system": _system,
    "/set": _set,
    "/save": _save,
}
