"""The same request gives the same tokens, log-probabilities to the bit included, whatever is around it."""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from honed.backends.base import Logprobs
from honed.backends.native import NativeBackend
from honed.backends.native_config import NativeConfig
from honed.encodings.int8_encoder import encode_int8
from honed.runtime.engine import Engine
from honed.runtime.events import Failed, Finished, Generated, PromptScored
from honed.runtime.request import GREEDY, Request, Sampling
from honed.runtime.speculation import SpeculationKind
from tiny_models import MemoryCheckpoint, golden

PROMPT = tuple(token * 37 % 90 + 3 for token in range(75))
REPEATED = (5, 6, 7, 8, 9, 10, 11, 12) * 9
REQUESTS = (
    Request(PROMPT, 48),
    Request(REPEATED, 48),
    Request(PROMPT[:40], 48, Sampling(temperature=0.9, top_p=0.95, seed=7)),
    Request(REPEATED, 48, Sampling(temperature=0.05, seed=8)),
    Request(
        REPEATED[:33],
        48,
        Sampling(
            temperature=0.7,
            top_k=20,
            repetition_penalty=1.2,
            presence_penalty=0.3,
            frequency_penalty=0.2,
            dry_multiplier=0.8,
            seed=9,
        ),
    ),
    Request(PROMPT, 32, Sampling(temperature=0, repetition_penalty=1.3, logit_bias=((4, 2.0),))),
    Request(REPEATED, 32, replace(GREEDY, logprobs=3)),
    Request(PROMPT[:64], 32, Sampling(temperature=1.0, min_p=0.05, seed=10, logprobs=0), prompt_logprobs=2),
    Request(PROMPT, 16, stop_tokens=frozenset(range(0, 99, 9)), min_tokens=3),
)


@cache
def backend(**changes: Any) -> NativeBackend:
    """A tiny model with matrices in int8."""
    checkpoint = MemoryCheckpoint.encoding(golden("smollm2").checkpoint, lambda name, w: encode_int8(w, name=name))
    settings: dict[str, Any] = {"kv_tokens": 4096, "threads": 1, "keep_packed": False, **changes}
    return NativeBackend.load(checkpoint, NativeConfig(**settings))


def outcomes(engine: Engine, requests: Many[Request]) -> list[list[Any]]:
    """Tokens with their log-probabilities, scores of the prompt and the end of each request, in their order."""
    ids = [engine.add(request) for request in requests]
    found: dict[int, list[Any]] = {number: [] for number in ids}
    while not engine.idle:
        for event in engine.step():
            match event:
                case Generated(number, token, logprobs):
                    found[number].append((token, logprobs))
                case PromptScored(number, scores):
                    found[number] += scores
                case Finished(number, reason):
                    found[number].append(reason)
                case Failed(_, error):
                    raise error
        engine.check_integrity()
    return [found[number] for number in ids]


@cache
def alone() -> list[list[Any]]:
    """Each in an engine of its own, with nothing that could change anything."""
    return [
        outcomes(Engine(backend(), speculation="off", prefix_cache=False, max_sequences=1), [request])[0]
        for request in REQUESTS
    ]


def test_the_requests_say_something() -> None:
    found = alone()
    assert [request for request, outcome in zip(REQUESTS, found, strict=True) if len(outcome) < 4] == []
    assert len({str(outcome) for outcome in found}) == len(found)
    assert sum(isinstance(score, Logprobs) for score in found[7]) == 63
    assert all(logprobs is not None for _, logprobs in found[6][:-1])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("speculation", ["off", "prompt-lookup"])
@pytest.mark.parametrize("step_tokens", [2048, 37])
def test_alone_or_among_many_whole_or_in_chunks(threads: int, speculation: SpeculationKind, step_tokens: int) -> None:
    engine = Engine(backend(threads=threads, step_tokens=step_tokens), speculation=speculation)
    assert outcomes(engine, REQUESTS) == alone()
    # Once more: with the prefixes in the cache, and what speculation has learned.
    assert outcomes(engine, REQUESTS[::-1]) == alone()[::-1]
    found = engine.statistics()
    assert found.prefix_found > 200
    assert speculation == "prompt-lookup" or found.proposed == 0


@pytest.mark.parametrize("speculation", ["off", "prompt-lookup"])
def test_after_preemption(speculation: SpeculationKind) -> None:
    engine = Engine(backend(kv_tokens=256), speculation=speculation)
    assert outcomes(engine, REQUESTS * 2) == alone() * 2
    assert engine.statistics().preemptions > 0


def test_with_every_guess_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """However dear rows are measured to be here."""
    monkeypatch.setattr("honed.runtime.speculation.Speculation.note", lambda *_, **__: None)
    monkeypatch.setattr("honed.runtime.speculation._MOST_SEQUENCES", 64)
    monkeypatch.setattr("honed.runtime.step_costs.StepCosts.seconds", lambda *_: 1.0)
    monkeypatch.setattr("honed.runtime.step_costs.StepCosts.age", lambda *_: 0)
    engine = Engine(backend())
    assert outcomes(engine, REQUESTS * 3) == alone() * 3
    found = engine.statistics()
    assert found.proposed > found.accepted > 100


def test_while_others_are_aborted() -> None:
    engine = Engine(backend(step_tokens=64))
    others = [engine.add(request) for request in REQUESTS * 4]
    for number in others[::3]:
        engine.abort(number)
    for _ in range(4):
        engine.step()
    for number in others[1::3]:
        engine.abort(number)
    engine.step()
    for number in others[2::3]:
        engine.abort(number)
    engine.step()
    assert engine.free_pages == backend(step_tokens=64).pages
    assert outcomes(engine, REQUESTS) == alone()
