"""What is wrong with a command line, as one sentence with a remedy: typer's findings in our words.

Exceptions are told apart by their names: typer brings its own copy of click or uses click itself, by its version.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from honed.errors import HonedError, quoted
from honed.parameter_names import RENAMED

_VALUES = {"int": "a whole number", "float": "a number", "bool": "true or false"}
"""What a value must be, by the beginning of the name of its type."""


class UsageError(HonedError):
    """A command line that does not say what to do."""


def is_usage(error: BaseException) -> bool:
    """Whether typer raised it because of the command line."""
    return any(kind.__name__ == "ClickException" for kind in type(error).__mro__)


def sentence(error: Any, words: Sequence[str]) -> UsageError:
    """For what typer found in a command line of these words."""
    context = getattr(error, "ctx", None)
    command = getattr(context, "command_path", None) or " ".join(["honed", *words[:1]])
    text = str(error.format_message()).strip().rstrip(".")
    match type(error).__name__:
        case "NoSuchOption":
            return UsageError(_no_such_option(error, command, words))
        case "MissingParameter":
            return UsageError(f"{_name(error.param)} is missing: {_usage(context, command)}")
        case "BadParameter":
            return UsageError(f"{_name(error.param)} = {_bad_value(error)}")
        case "BadOptionUsage":
            problem = "takes no value" if "not take a value" in text else "needs a value"
            return UsageError(f"{error.option_name} {problem}; {command} --help shows the options")
        case "UsageError" if "extra argument" in text:
            extra = text.partition("(")[2].removeprefix("s) (").removesuffix(")")
            return UsageError(
                f"{quoted(extra)} is too much: {_usage(context, command)}; a text of several words goes between quotes"
            )
    return UsageError(f"{_told_of(text)}; {command} --help shows how it is used")


def _no_such_option(error: Any, command: str, words: Sequence[str]) -> str:
    option = str(error.option_name)
    given = next((word for word in words if word.startswith(option)), option)
    if re.search(r"\s", given) or not re.match(r"--?[A-Za-z]", given):
        return (
            f"{quoted(given)} begins with a dash and is no option: put -- before a text that does, as in "
            f'{command} MODEL -- "-3 + 5 ="'
        )
    known = _options(getattr(error, "ctx", None))
    renamed = RENAMED.get(option.lstrip("-").replace("-", "_"), "").replace("_", "-")
    if f"--{renamed}" in known:
        return f"{quoted(option)} is called --{renamed} here"
    import difflib

    near = difflib.get_close_matches(option, known, n=1)
    if near:
        return f"{quoted(option)} is not an option of {command}; did you mean {near[0]}?"
    return f"{quoted(option)} is not an option of {command}; {command} --help shows those that are"


def _options(context: Any) -> list[str]:
    parameters = getattr(getattr(context, "command", None), "params", ())
    return [flag for parameter in parameters for flag in parameter.opts if flag.startswith("--")]


def _bad_value(error: Any) -> str:
    text = str(error.message).strip().rstrip(".")
    found = re.search(r"'(.*)' is not a valid (\w+)", text, re.DOTALL)
    if found is None:
        return _told_of(text)
    expected = next((words for kind, words in _VALUES.items() if found[2].startswith(kind)), f"a {found[2]}")
    return f"{quoted(found[1])}: must be {expected}"


def _name(parameter: Any) -> str:
    """`--threads` of an option, `MODEL` of an argument."""
    flags = [flag for flag in getattr(parameter, "opts", ()) if flag.startswith("-")]
    return max(flags, key=len) if flags else str(getattr(parameter, "name", "a value")).upper()


def _usage(context: Any, command: str) -> str:
    arguments = [_name(parameter) for parameter in context.command.params if parameter.param_type_name == "argument"]
    needed = [
        f"{_name(parameter)} {str(parameter.name).upper()}"
        for parameter in context.command.params
        if parameter.param_type_name == "option" and parameter.required
    ]
    return f"{' '.join([command, *arguments, *needed])} [OPTIONS]"


def _told_of(text: str) -> str:
    return " ".join(text.split())[:300]
