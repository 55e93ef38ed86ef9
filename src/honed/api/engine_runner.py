"""honed's own side of a measurement: loads as a user would and generates through the engine.

Runs in the measured process, so it imports what that needs and nothing of the reporting.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from honed.api.load import load_language_model
from honed.backends.base import Backend
from honed.backends.options import RunOptions
from honed.bench.peers.base import Footprint, Runner, Step
from honed.runtime.engine import Engine
from honed.runtime.events import Failed, Generated
from honed.runtime.request import GREEDY, Request
from honed.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from honed.plan.lowered import LoweredPlan


def open_runner(arguments: Mapping[str, Any]) -> Runner:
    """Loads as `honed.load` does. arguments: model, and options, which is JSON of `RunOptions`."""
    options = RunOptions.from_json(arguments["options"])
    model = load_language_model(arguments["model"], options)
    return EngineRunner(arguments["model"], options, model.backend, model.tokenizer)


class EngineRunner:
    """Requests through the engine, as many at a time as `options` says."""

    def __init__(self, model: str, options: RunOptions, backend: Backend, tokenizer: Tokenizer) -> None:
        self._model = model
        self._options = options
        self._backend = backend
        # The same prompts are run again and again, to measure what computing each of their tokens takes.
        self._engine = Engine(backend, max_sequences=options.sequences, prefix_cache=False, speculation="off")
        self._tokenizer = tokenizer

    @property
    def isa(self) -> str | None:
        return getattr(self._backend, "isa", None)

    @property
    def dtype(self) -> str:
        from honed.bench.footprint import weights_label

        return weights_label(self._plan)

    @property
    def footprint(self) -> Footprint:
        from honed.bench.footprint import plan_footprint

        return plan_footprint(self._plan, self._options.kv)

    @cached_property
    def _plan(self) -> LoweredPlan:
        """Made again from the checkpoint, after the measurement: a backend does not show its own."""
        from honed.checkpoints.open import open_checkpoint
        from honed.models.registry import read_model
        from honed.plan.build import build_plan

        checkpoint = open_checkpoint(self._model)
        model = read_model(checkpoint.config, checkpoint.path)
        return build_plan(model, checkpoint, self._options.dtype).plan

    def encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text)

    def generate(self, prompt: Sequence[int], new_tokens: int) -> Iterator[int]:
        return (token for step in self.generate_batch([prompt], new_tokens) for _, token in step)

    def generate_batch(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> Iterator[Step]:
        """Requests that arrive together. No stop tokens: each goes on until the last one has what was asked for, or
        to the end of its share of the cache."""
        positions = self._engine.positions if self._options.context is None else self._options.context
        room = positions - max(len(prompt) for prompt in prompts)
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


def closed_load(arguments: Mapping[str, Any], spawned: float) -> dict[str, float]:
    """What a server adds is measured against this: the same prompts and lengths through the engine alone, a new one as
    soon as one has ended.

    The function that `isolate` calls. arguments: model, options (JSON of `RunOptions`), prompts (texts), new_tokens (of
    each), streams. Gives tokens, seconds, and cpu_seconds of the process meanwhile.
    """
    options = RunOptions.from_json(arguments["options"])
    with load_language_model(arguments["model"], options) as model:
        engine = Engine(model.backend, max_sequences=arguments["streams"], prefix_cache=False, speculation="off")
        prompts = [Request(tuple(model.encode(text)), arguments["new_tokens"], GREEDY) for text in arguments["prompts"]]
        engine.generate(prompts)  # a server has run before, too: its cache has been written to
        cpu, started = time.process_time(), time.perf_counter()
        outputs = engine.generate(prompts)
        seconds = time.perf_counter() - started
        tokens = sum(len(output.tokens) for output in outputs)
        return {"tokens": tokens, "seconds": seconds, "cpu_seconds": time.process_time() - cpu}
