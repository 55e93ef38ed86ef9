"""What an engine over `hash_backend` should give, and what it gave."""

from __future__ import annotations

from hash_backend import logits_of
from honed.runtime.engine import Engine
from honed.runtime.events import Event, Generated
from honed.runtime.request import Request, Sampling
from honed.runtime.sampling import Sampler

SEEDED = Sampling(temperature=0.8, top_k=20, top_p=0.9, repetition_penalty=1.1, seed=5)


def expected(request: Request, positions: int = 512) -> tuple[list[int], str]:
    """The same without engine, batch or pages."""
    sampler = Sampler(request.sampling, request.prompt)
    tokens = list(request.prompt)
    for _ in range(min(request.max_tokens, positions - len(request.prompt))):
        token = sampler.choose(logits_of(tokens))
        if token in request.stop_tokens:
            return tokens[len(request.prompt) :], "stop"
        tokens.append(token)
    return tokens[len(request.prompt) :], "length"


def decoded(events: list[Event], request_id: int) -> list[int]:
    """The tokens of one request."""
    return [e.token for e in events if isinstance(e, Generated) and e.request_id == request_id]


def run_all(engine: Engine) -> list[Event]:
    """Steps until nothing is left to do."""
    events: list[Event] = []
    while not engine.idle:
        events += engine.step()
        engine.check_integrity()
    return events
