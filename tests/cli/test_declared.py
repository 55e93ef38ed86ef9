"""Options that several verbs have: declared once, read alike by typer and without it, and made a value."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from honed.backends.options import RunOptions
from honed.cli.declared import evaluated, takes_run_options, takes_sampling_options
from honed.cli.quick import parse
from honed.errors import ParameterError
from honed.runtime.options import SamplingOptions

SEEN: list[tuple[Any, ...]] = []
SHOWN = dict.fromkeys(("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed"), "How.")


@takes_sampling_options(**SHOWN)
@takes_run_options("kv", "threads", "backend")
def verb(
    model: Annotated[str, typer.Argument(help="Which.")],
    *,
    first: Annotated[int, typer.Option(help="Before.")] = 1,
    sampling: SamplingOptions,
    run: RunOptions,
    last: Annotated[bool, typer.Option("--last", help="After.")] = False,
) -> None:
    """Does something."""
    SEEN.append((model, first, sampling, run, last))


ORDER = [
    "model", "first", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed",
    "presence_penalty", "frequency_penalty", "dry_multiplier", "kv", "threads", "backend", "last",
]  # fmt: skip
LINE = ["m", "--first", "2", "--top-k", "4", "--kv", "int8", "--threads=3", "--last"]
MADE = ("m", 2, SamplingOptions(top_k=4), RunOptions(kv="int8", threads=3), True)


def test_the_options_stand_where_the_value_stood() -> None:
    assert list(inspect.signature(verb).parameters) == ORDER


def test_a_line_that_is_read_without_typer() -> None:
    SEEN.clear()
    verb(**(parse(verb, LINE) or {}))
    assert [MADE] == SEEN


def test_a_line_that_typer_reads() -> None:
    SEEN.clear()
    app = typer.Typer()
    app.command()(evaluated(verb))
    done = CliRunner().invoke(app, LINE)
    assert done.exit_code == 0, done.output
    assert [MADE] == SEEN
    told = CliRunner().invoke(app, ["--help"]).output
    assert all(text in told for text in ("Does something.", "--repetition-penalty", "native or pytorch.", "Before."))


def test_a_wrong_value_is_named() -> None:
    with pytest.raises(ParameterError, match="kv = 'int4': did you mean int8"):
        verb("m", kv="int4")
