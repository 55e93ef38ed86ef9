"""The command line: one app, one file a verb. Verbs import what they need when they run, so `--help` is quick."""

from __future__ import annotations

import os
import sys

import typer

from honed.cli.bench import bench
from honed.cli.chat import chat
from honed.cli.compress import compress
from honed.cli.demo import demo
from honed.cli.doctor import doctor
from honed.cli.eval import evaluate
from honed.cli.generate import generate
from honed.cli.inspect import inspect
from honed.errors import HonedError

app = typer.Typer(
    name="honed",
    help="Compress a transformer, prove that it is still the same model, and run it on an engine of its own.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("generate")(generate)
app.command("chat")(chat)
app.command("compress")(compress)
app.command("eval")(evaluate)
app.command("bench")(bench)
app.command("inspect")(inspect)
app.command("doctor")(doctor)
app.command("demo")(demo)


def main() -> None:
    """Entry point. An expected error is one line on stderr; Ctrl-C exits with 130; a closed pipe is no error."""
    try:
        app()
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


if __name__ == "__main__":
    main()
