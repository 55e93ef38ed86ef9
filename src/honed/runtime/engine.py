"""The loop that turns requests into tokens on a backend. Token ids only; text is made around it.

A step is three calls: schedule, run, postprocess. What a request generates depends on the request alone, not on what
else is in the batch, if the backend computes every row independently of the others.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from typing import TYPE_CHECKING

from honed.backends.base import PAGE_TOKENS, Backend, GreedyBackend
from honed.errors import ParameterError
from honed.later import numpy as np
from honed.runtime.events import Event, Failed, Finished, Generated, Output
from honed.runtime.request import FinishReason, Request
from honed.runtime.sampling import Sampler
from honed.runtime.scheduler import Chunk, Scheduler, make_batch
from honed.runtime.sequence import Sequence

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Engine:
    """Runs requests together on one backend. Not safe for two threads at once."""

    def __init__(self, backend: Backend, *, max_sequences: int = 64) -> None:
        """`max_sequences`: requests in one step at most; further ones wait."""
        if max_sequences < 1:
            raise ParameterError("max_sequences", max_sequences, "must be at least 1")
        self._backend = backend
        self._greedy = backend if isinstance(backend, GreedyBackend) else None
        self._scheduler = Scheduler(backend.pages, backend.step_tokens, max_sequences)
        self._sequences: dict[int, Sequence] = {}
        self._next_id = 0
        self._aborted: list[int] = []

    @property
    def idle(self) -> bool:
        """Whether a step would report nothing."""
        return not self._sequences and not self._aborted

    @property
    def positions(self) -> int:
        """Prompt and reply of one request together have at most so many tokens: the context, or the whole cache."""
        return min(self._backend.context, self._backend.pages * PAGE_TOKENS)

    @property
    def free_pages(self) -> int:
        """KV pages that no request holds."""
        return self._scheduler.free_pages

    def add(self, request: Request) -> int:
        """Queues a request; its id. What cannot run is refused here with a ParameterError."""
        self._require_runnable(request)
        request_id = self._next_id
        self._next_id += 1
        sequence = Sequence(
            id=request_id,
            request=request,
            limit=min(request.max_tokens, self.positions - len(request.prompt)),
            sampler=Sampler(request.sampling, request.prompt, self._backend.vocabulary),
            tokens=list(request.prompt),
        )
        self._sequences[request_id] = sequence
        self._scheduler.add(sequence)
        return request_id

    def abort(self, request_id: int) -> None:
        """Ends a request and frees its pages now; the next step reports it. One that has ended is left alone."""
        if request_id in self._sequences:
            self._remove(request_id)
            self._aborted.append(request_id)

    def step(self) -> list[Event]:
        """One batch through the backend, and what came of it.

        An exception of the backend passes through and leaves every request as it was before the step.
        """
        chunks = self._scheduler.schedule()
        choices = self._run(chunks) if chunks else []
        aborted: list[Event] = [Finished(request_id, "abort") for request_id in self._aborted]
        self._aborted.clear()
        return aborted + self._postprocess(chunks, choices)

    def generate(self, requests: Many[Request]) -> list[Output]:
        """Runs requests to their end, results in their order. The first one that fails raises, the others are aborted.

        Requests added before run along; their events are lost, so do not mix the two ways of use.
        """
        ids = [self.add(request) for request in requests]
        tokens: dict[int, list[int]] = {request_id: [] for request_id in ids}
        reasons: dict[int, FinishReason] = {}
        try:
            while len(reasons) < len(ids):
                for event in self.step():
                    match event:
                        case Generated(request_id, token) if request_id in tokens:
                            tokens[request_id].append(token)
                        case Finished(request_id, reason) if request_id in tokens:
                            reasons[request_id] = reason
                        case Failed(request_id, error) if request_id in tokens:
                            raise error
        finally:
            for request_id in self._sequences.keys() & ids:
                self._remove(request_id)
        return [Output(tuple(tokens[request_id]), reasons[request_id]) for request_id in ids]

    def check_integrity(self) -> None:
        """AssertionError unless queue, sequences and pages agree."""
        self._scheduler.check_integrity()
        assert {sequence.id for sequence in self._scheduler.sequences} == set(self._sequences)

    def _run(self, chunks: list[Chunk]) -> Many[int | NDArray[np.float32]]:
        """Of each chunk that completes its token, where the backend can choose it, or its logits."""
        batch = make_batch(chunks)
        if self._greedy is not None and all(chunk.sequence.sampler.is_argmax for chunk in chunks if chunk.completes):
            tokens = self._greedy.greedy(batch)
            if tokens is not None:
                return tokens
        return list(self._backend.forward(batch.as_arrays()))

    def _postprocess(self, chunks: list[Chunk], choices: Many[int | NDArray[np.float32]]) -> list[Event]:
        events: list[Event] = []
        row = 0
        for chunk in chunks:
            completes = chunk.completes
            chunk.sequence.computed += chunk.count
            if completes:
                events += self._advance(chunk.sequence, choices[row])
                row += 1
        return events

    def _advance(self, sequence: Sequence, choice: int | NDArray[np.float32]) -> list[Event]:
        """Takes or chooses the next token. A fault in one request ends that request and no other."""
        try:
            token = choice if isinstance(choice, int) else sequence.sampler.choose(choice)
        except Exception as error:
            self._remove(sequence.id)
            return [Failed(sequence.id, error)]
        if token in sequence.request.stop_tokens:
            self._remove(sequence.id)
            return [Finished(sequence.id, "stop")]
        sequence.tokens.append(token)
        events: list[Event] = [Generated(sequence.id, token)]
        if sequence.generated == sequence.limit:
            self._remove(sequence.id)
            events.append(Finished(sequence.id, "length"))
        return events

    def _remove(self, request_id: int) -> None:
        self._scheduler.remove(self._sequences.pop(request_id))

    def _require_runnable(self, request: Request) -> None:
        prompt = request.prompt
        if not prompt:
            raise ParameterError("prompt", prompt, "must have at least one token")
        vocabulary = self._backend.vocabulary
        for token in prompt:
            if not 0 <= token < vocabulary:
                raise ParameterError("prompt", token, f"token ids of this model are from 0 to {vocabulary - 1}")
        if request.max_tokens < 1:
            raise ParameterError("max_tokens", request.max_tokens, "must be at least 1")
        if len(prompt) >= self.positions:
            cache = self._backend.pages * PAGE_TOKENS
            where = f"the model's context of {self._backend.context}"
            if cache < self._backend.context:
                where = f"the KV cache of {cache}"
            raise ParameterError("prompt", f"{len(prompt)} tokens", f"must leave room for a reply in {where} tokens")
