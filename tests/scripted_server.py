"""A running server of one scripted model, loaded already, with what tests ask of it again and again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from running_server import RunningServer
from scripted_model import ScriptedBackend, scripted_model

REPLIES = {"hello": "Hello!", "long": "over the lazy dog " * 200}


@contextmanager
def scripted_server(
    *, pause: float = 0.0, pages: int = 256, replies: Mapping[str, str] = REPLIES, **given: Any
) -> Iterator[tuple[RunningServer, ScriptedBackend]]:
    """pause: seconds that a step takes. given: fields of `ServerSettings`."""
    model, backend = scripted_model(replies, context=2048, pages=pages)
    backend.pause = pause
    with RunningServer({"scripted": lambda: model}, **given) as server:
        with server.client(headers={"x-api-key": (given.get("api_keys") or ("",))[0]}) as http:
            assert http.post("/v1/completions", json=completion(max_tokens=1)).status_code == 200
        yield server, backend


def chat(text: str = "hello", **more: Any) -> dict[str, Any]:
    return {"model": "scripted", "messages": [{"role": "user", "content": text}], "temperature": 0, **more}


def completion(prompt: Any = "x", **more: Any) -> dict[str, Any]:
    return {"model": "scripted", "prompt": prompt, **more}


def until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Whether it came to hold within the time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def numbers(server: RunningServer, key: str = "") -> dict[str, float]:
    """The values of /metrics, all labels of a name together."""
    with server.client(headers={"x-api-key": key}) as http:
        text = http.get("/metrics").text
    found: dict[str, float] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name = line.partition("{")[0].partition(" ")[0]
            found[name] = found.get(name, 0.0) + float(line.rpartition(" ")[2])
    return found


def at_rest(server: RunningServer) -> bool:
    """Whether no page is held, nothing runs, and all that was accepted is accounted for."""
    found = numbers(server)
    accepted = found["honed:request_accepted_total"]
    ended = found.get("honed:request_success_total", 0.0) + found["honed:request_failed_total"]
    held = ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc")
    return accepted == ended and not any(found[f"honed:{name}"] for name in held)
