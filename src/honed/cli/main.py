"""The command line: one app, one file a verb. Only the verb that is asked for is imported, and what it needs with it.

What is imported here before `main` begins is next to nothing, not even the future of annotations: in that time Ctrl-C
could not be answered.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    import typer

    from honed.cli.signals import Signals

# Verb: name of its function, in the module of the verb's name.
VERBS = {
    "generate": "generate",
    "chat": "chat",
    "serve": "serve",
    "embed": "embed",
    "run": "run_file",
    "compress": "compress",
    "export": "export",
    "train": "train",
    "recipes": "recipes",
    "sensitivity": "sensitivity",
    "eval": "evaluate",
    "bench": "bench",
    "bench-recipes": "bench_recipes",
    "inspect": "inspect",
    "families": "families",
    "doctor": "doctor",
    "costs": "costs",
    "demo": "demo",
    "models": "models",
    "version": "version",
}
QUICK = frozenset({"generate", "version"})
"""Verbs whose start is waited for: their plain command lines are read without typer."""


def make_app(verbs: "Iterable[str]" = VERBS) -> "typer.Typer":
    """The app with these verbs as its commands."""
    import typer

    from honed.cli.declared import evaluated

    app = typer.Typer(
        name="honed",
        help="Compress a transformer, prove that it is still the same model, and run it on an engine of its own.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # which would take "[default: ...]" in a help text for markup, and leave it out
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_no_options)
    for verb in verbs:
        app.command(verb)(evaluated(_function(verb)))
    return app


def _function(verb: str) -> "Callable[..., Any]":
    import importlib

    function: Callable[..., Any] = getattr(importlib.import_module(f"honed.cli.{verb.replace('-', '_')}"), VERBS[verb])
    return function


def _no_options() -> None:
    # With a callback a single command stays a command, and does not become the app itself.
    pass


def main() -> None:
    """Entry point: runs the verb, and exits unless that went well.

    Every error is one line on stderr; `cli/faults.py` says which, and the exit codes. A fault of honed itself shows its
    traceback where HONED_DEBUG is set.
    """
    try:
        from honed.cli.signals import Signals

        watch = Signals()
        watch.install()
    except KeyboardInterrupt:  # in the first moment
        try:
            os.write(2, b"honed: interrupted\n")
        finally:
            os._exit(130)
    code = _outcome(sys.argv[1:], watch)
    watch.over(code)
    if code:
        sys.exit(code)


def _outcome(words: "Sequence[str]", watch: "Signals") -> int:
    """Runs the verb; the exit code, all that there is to say having been said."""
    from honed.cli import streams

    try:
        streams.prepare()
        streams.show_notes()
        _spare_memory()
        code = _run(words, watch)
        sys.stdout.flush()
    except SystemExit as left:
        watch.over(1)
        from honed.cli import faults

        code = left.code if isinstance(left.code, int) else 1 if left.code else 0
        if isinstance(streams.output_fault(), BrokenPipeError):  # rich leaves then, with a code of its own
            code = faults.READER_LEFT
    except BaseException as error:
        watch.over(1)  # nothing breaks into what is said now
        try:
            from honed.cli import faults

            told, code = faults.explain(error)
        except MemoryError:  # not even for that
            os.write(2, b"honed: there is not enough memory, or a limit on it is too low (ulimit -v)\n")
            os._exit(1)
        if told is not None:
            streams.say(f"honed: {told}\n")
        if os.environ.get("HONED_DEBUG"):
            import traceback

            streams.say("".join(traceback.format_exception(error)))
        if faults.is_memory(error):
            # A library that got no thread or no buffer may wait for it for ever when the process ends.
            streams.abandon()
            os._exit(code)
    streams.abandon()
    return code


def _spare_memory() -> None:
    """Under a limit on memory BLAS gets one thread: where it is refused a second one, it interrupts the process."""
    import resource

    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _run(words: "Sequence[str]", watch: "Signals") -> int:
    if "_HONED_COMPLETE" in os.environ:  # a shell asks, and says what has been typed elsewhere
        make_app()()
        return 0
    from honed.cli import opening, quick

    given = opening.first_words(words, VERBS)
    if given is None:
        return 0
    verb = given[0]
    function = _function(verb)
    if verb in QUICK:
        plain = quick.parse(function, given[1:])
        if plain is not None:
            watch.raised()
            function(**plain)
            return 0
    if verb in ("generate", "chat"):
        from honed.cli.pointers import explain_option

        explain_option(verb, given[1:], quick.options(function))
    return _with_typer(make_app([verb]), given, watch)


def _with_typer(app: "typer.Typer", words: "Sequence[str]", watch: "Signals") -> int:
    """As typer does it, but that errors pass through: of pipes, of signals, and of the command line as UsageError."""
    import typer

    from honed.cli import usage

    command: Any = typer.main.get_command(app)
    try:
        with command.make_context("honed", list(words)) as context:
            watch.raised()
            command.invoke(context)
    except typer.Exit as left:
        return left.exit_code
    except Exception as error:
        if usage.is_usage(error):
            raise usage.sentence(error, words) from None
        raise
    return 0


if __name__ == "__main__":
    main()
