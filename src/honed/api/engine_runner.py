"""honed's own side of a measurement: loads as a user would and generates through the engine.

Runs in the measured process, so it imports what that needs and nothing of the reporting.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from honed.api.load import load
from honed.bench.peers.base import Footprint, Runner, Step
from honed.runtime.engine import Engine
from honed.runtime.events import Failed, Generated
from honed.runtime.request import GREEDY, Request
from honed.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from honed.plan.lowered import LoweredPlan


def open_runner(arguments: Mapping[str, Any]) -> Runner:
    """Loads as `honed.load` does. arguments: model, dtype, kv, threads, isa, context, sequences."""
    model = load(
        arguments["model"],
        dtype=arguments["dtype"],
        kv=arguments["kv"],
        threads=arguments["threads"],
        isa=arguments["isa"],
        context=arguments["context"],
        sequences=arguments["sequences"],
    )
    isa = getattr(model.backend, "isa", None)
    return EngineRunner(Engine(model.backend, max_sequences=arguments["sequences"]), model.tokenizer, isa, arguments)


class EngineRunner:
    """Requests through the engine, as many at a time as it was made for."""

    def __init__(self, engine: Engine, tokenizer: Tokenizer, isa: str | None, arguments: Mapping[str, Any]) -> None:
        self._engine = engine
        self._tokenizer = tokenizer
        self._isa = isa
        self._arguments = arguments

    @property
    def isa(self) -> str | None:
        return self._isa

    @property
    def dtype(self) -> str:
        from honed.bench.footprint import weights_label

        return weights_label(self._plan)

    @property
    def footprint(self) -> Footprint:
        from honed.bench.footprint import plan_footprint

        return plan_footprint(self._plan, self._arguments["kv"])

    @cached_property
    def _plan(self) -> LoweredPlan:
        """Made again from the checkpoint, after the measurement: a backend does not show its own."""
        from honed.checkpoints.open import open_checkpoint
        from honed.models.registry import read_model
        from honed.plan.build import build_plan

        checkpoint = open_checkpoint(self._arguments["model"])
        model = read_model(checkpoint.config, checkpoint.path)
        return build_plan(model, checkpoint, self._arguments["dtype"]).plan

    def encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text)

    def generate(self, prompt: Sequence[int], new_tokens: int) -> Iterator[int]:
        return (token for step in self.generate_batch([prompt], new_tokens) for _, token in step)

    def generate_batch(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> Iterator[Step]:
        """Requests that arrive together. No stop tokens: each goes on until the last one has what was asked for, or
        to the end of its share of the cache."""
        room = self._arguments["context"] - max(len(prompt) for prompt in prompts)
        requests = [self._engine.add(Request(tuple(prompt), max(new_tokens, room), GREEDY)) for prompt in prompts]
        index = {request: i for i, request in enumerate(requests)}
        counts = [0] * len(requests)
        try:
            while not self._engine.idle and min(counts) < new_tokens:
                tokens: list[tuple[int, int]] = []
                for event in self._engine.step():
                    match event:
                        case Generated(request, token):
                            tokens.append((index[request], token))
                            counts[index[request]] += 1
                        case Failed(_, error):
                            raise error
                yield tokens
        finally:
            for request in requests:
                self._engine.abort(request)
            if not self._engine.idle:
                self._engine.step()  # reports them, so that the next measurement finds none
