"""Sends the requests of a plan to a server and notes when what came. Any server that speaks OpenAI's protocol."""

from __future__ import annotations

import asyncio
import json
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from honed.bench.load.connection import Address, ServerError, send
from honed.bench.load.plan import LoadPlan, Prompts
from honed.errors import quoted

_CANCEL_AFTER = 3
"""Pieces of a stream after which a request that is to be broken off is."""


@dataclass
class Outcome:
    """Of one request. Times are of time.perf_counter: `sent`, `pieces` (each that brought text), `ended`. status: of
    HTTP, 0 where there was none. error: why it failed. What was to be refused and was (4xx) is no error, nor is what
    was broken off on purpose."""

    fate: str
    sent: float
    status: int = 0
    pieces: list[float] = field(default_factory=list)
    ended: float = 0.0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    new_tokens: int = 0
    error: str | None = None


@dataclass(frozen=True)
class Measured:
    """All outcomes, the wall seconds from the first request to the last answer, and the CPU seconds of this process."""

    outcomes: list[Outcome]
    seconds: float
    client_seconds: float


async def model_of(address: Address, key: str | None) -> str:
    """The first model that a server names. ServerError where it names none."""
    answer = await send(address, "GET", "/v1/models", key=key)
    try:
        found = json.loads(await answer.body())
        return str(found["data"][0]["id"])
    except (ValueError, LookupError, TypeError):
        raise ServerError(f"/v1/models of the server names no model (status {answer.status})") from None
    finally:
        answer.close()


async def drive(
    address: Address,
    plan: LoadPlan,
    model: str,
    *,
    key: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Measured:
    """Runs the plan. Requests that fail are outcomes; a server that refuses the first one is a ServerError."""
    prompts = Prompts(plan)
    await _calibrate(address, plan, model, prompts, key)
    outcomes: list[Outcome] = []
    cpu, start = _cpu_seconds(), time.perf_counter()
    requests = iter(enumerate(zip(plan.arrivals(), plan.fates(), strict=True)))

    def over() -> bool:
        return plan.seconds is not None and time.perf_counter() - start > plan.seconds

    async def one(number: int, fate: str) -> None:
        outcomes.append(await _ask(address, _body(plan, model, prompts.text(number), fate), plan, fate, key))
        progress(len(outcomes), plan.requests)

    async def stream() -> None:
        for number, (_, fate) in requests:  # which all streams take from
            if over():
                return
            await one(number, fate)

    async with asyncio.TaskGroup() as group:
        if plan.rate is None:
            for _ in range(min(plan.streams, plan.requests)):
                group.create_task(stream())
        else:
            for number, (arrival, fate) in requests:
                if (wait := start + arrival - time.perf_counter()) > 0:
                    await asyncio.sleep(wait)
                if over():
                    break
                group.create_task(one(number, fate))
    end = max((outcome.ended for outcome in outcomes), default=start)
    return Measured(outcomes, end - start, _cpu_seconds() - cpu)


async def _calibrate(address: Address, plan: LoadPlan, model: str, prompts: Prompts, key: str | None) -> None:
    """Asks once, for one token: warms the server up, and tells how many tokens words are to it."""
    text = prompts.text(plan.requests)
    body = _body(plan, model, text, "whole") | {"max_tokens": 1}
    outcome = await _ask(address, body, plan, "whole", key)
    if outcome.error is not None and not outcome.status:
        raise ServerError(f"{address.host}:{address.port} cannot be reached: {outcome.error}")
    if outcome.error is not None:
        raise ServerError(f"the first request failed: {outcome.error}")
    if outcome.prompt_tokens:
        prompts.calibrate(len(text.split()), outcome.prompt_tokens)


def _body(plan: LoadPlan, model: str, text: str, fate: str) -> dict[str, Any]:
    asked: dict[str, Any] = {"prompt": text} if plan.kind == "completions" else {"messages": [_user(text)]}
    return asked | {
        "model": model,
        "max_tokens": plan.new_tokens if fate != "invalid" else -1,
        "temperature": plan.temperature,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


async def _ask(address: Address, body: dict[str, Any], plan: LoadPlan, fate: str, key: str | None) -> Outcome:
    outcome = Outcome(fate, time.perf_counter())
    try:
        async with asyncio.timeout(plan.timeout):
            await _stream(address, body, plan, outcome, key)
    except TimeoutError:
        outcome.error = f"no end within {plan.timeout:g} s"
    except (OSError, ServerError, ValueError, asyncio.IncompleteReadError) as error:
        outcome.error = str(error) or type(error).__name__
    outcome.ended = time.perf_counter()
    return outcome


async def _stream(address: Address, body: dict[str, Any], plan: LoadPlan, outcome: Outcome, key: str | None) -> None:
    answer = await send(address, "POST", plan.route, body, key)
    try:
        outcome.status = answer.status
        if answer.status != 200:
            said = (await answer.body()).decode(errors="replace")
            if outcome.fate != "invalid" or not 400 <= answer.status < 500:
                outcome.error = f"status {answer.status}: {quoted(said, 200)}"
            return
        if outcome.fate == "invalid":
            outcome.error = "a request that is not valid was accepted"
            return
        done = False
        async for data in answer.events():
            if data == "[DONE]":
                done = True
                break
            _note(outcome, json.loads(data))
            if outcome.fate == "cancel" and len(outcome.pieces) >= _CANCEL_AFTER:
                return
        if not done and outcome.error is None:
            outcome.error = "the stream ended without [DONE]"
        outcome.new_tokens = outcome.new_tokens or len(outcome.pieces)
    finally:
        answer.close()


def _note(outcome: Outcome, chunk: dict[str, Any]) -> None:
    if "error" in chunk:
        outcome.error = quoted(str(chunk["error"]), 200)
        return
    for choice in chunk.get("choices") or ():
        delta = choice.get("delta") or choice
        if delta.get("content") or delta.get("reasoning_content") or delta.get("text") or delta.get("tool_calls"):
            outcome.pieces.append(time.perf_counter())
    usage = chunk.get("usage")
    if usage:
        outcome.prompt_tokens = usage.get("prompt_tokens") or 0
        outcome.new_tokens = usage.get("completion_tokens") or 0
        outcome.cached_tokens = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
