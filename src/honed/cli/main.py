"""The command line: one app, one file a verb.

Only the verb that is asked for is imported and made into a command, and it imports what it needs when it runs.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from honed.cli import quick
from honed.errors import HonedError
from honed.later import typer

# Verb: name of its function, in the module of the verb's name.
VERBS = {
    "generate": "generate",
    "chat": "chat",
    "compress": "compress",
    "eval": "evaluate",
    "bench": "bench",
    "inspect": "inspect",
    "doctor": "doctor",
    "demo": "demo",
}
QUICK = frozenset({"generate"})
"""Verbs whose start is waited for: their plain command lines are read without typer."""


def make_app(verbs: Iterable[str] = VERBS) -> typer.Typer:
    """The app with these verbs as its commands."""
    app = typer.Typer(
        name="honed",
        help="Compress a transformer, prove that it is still the same model, and run it on an engine of its own.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_no_options)
    for verb in verbs:
        app.command(verb)(_function(verb))
    return app


def _function(verb: str) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(importlib.import_module(f"honed.cli.{verb}"), VERBS[verb])
    return function


def _no_options() -> None:
    # With a callback a single command stays a command, and does not become the app itself.
    pass


def main() -> None:
    """Entry point. An expected error is one line on stderr; Ctrl-C exits with 130; a closed pipe is no error."""
    try:
        _run(sys.argv[1:])
    except HonedError as error:
        print(f"honed: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("honed: interrupted", file=sys.stderr)  # noqa: T201
        sys.exit(130)
    except BrokenPipeError:
        # The reader left. Point stdout away so that the interpreter's last flush does not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


def _run(words: Sequence[str]) -> None:
    verb = words[0] if words and words[0] in VERBS else None
    if verb in QUICK:
        function = _function(verb)
        given = quick.parse(function, words[1:])
        if given is not None:
            function(**given)
            return
    make_app(VERBS if verb is None else [verb])()


if __name__ == "__main__":
    main()
