"""`honed bench --server URL`: a load of requests against any server that speaks OpenAI's protocol."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from honed.cli.output import print_json, print_table
from honed.cli.progress import progress

if TYPE_CHECKING:
    from honed.bench.load.plan import LoadPlan

KEY_VARIABLE = "OPENAI_API_KEY"


def bench_server(
    server: str, models: Sequence[str], plan: LoadPlan, *, out: Path | None, markdown: bool, json: bool
) -> None:
    """Measures and prints. WorkerError where requests failed, after everything is told."""
    import asyncio

    from honed.bench.isolate import WorkerError
    from honed.bench.load.connection import Address, ServerError
    from honed.bench.load.drive import Measured, drive, model_of
    from honed.bench.load.report import HEADER, cells, lines, report
    from honed.bench.table import markdown as markdown_table
    from honed.errors import ParameterError
    from honed.evaluate.store import write_json

    address = Address.of(server)
    if len(models) > 1:
        raise ParameterError("models", " ".join(models), "is more than one; a load asks one model of a server")
    key = os.environ.get(KEY_VARIABLE)

    async def run() -> tuple[str, Measured]:
        try:
            model = models[0] if models else await model_of(address, key)
        except OSError as error:
            raise ServerError(f"{server}: cannot be reached: {error.strerror or error}") from error
        with progress() as told:
            return model, await drive(
                address, plan, model, key=key, progress=lambda done, total: told(plan.label, done, total)
            )

    model, measured = asyncio.run(run())
    found = report(plan, model, measured)
    if out is not None:
        write_json(out, found.to_json())
    if json:
        print_json(found.to_json())
    elif markdown:
        typer.echo("\n".join([f"{model}: {plan.label}\n", markdown_table(HEADER, cells(found)), *lines(found)]))
    else:
        print_table(f"{model}: {plan.label}", HEADER, cells(found))
        for line in lines(found):
            typer.echo(line)
    if found.failed:
        raise WorkerError(f"{found.failed} of {found.failed + found.finished} requests failed: {found.errors[0]}")


def require_unset(given: Mapping[str, tuple[object, object]]) -> None:
    """ParameterError for an option that means nothing to a load: by name, its value and the usual one."""
    from honed.errors import ParameterError

    for name, (value, usual) in given.items():
        if value != usual:
            raise ParameterError(name, str(value), "is for measuring models, not for --server; leave it out")
