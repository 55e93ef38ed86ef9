"""The loop that turns requests into tokens on a backend. Token ids only; text is made around it.

A step: tokens are proposed ahead, a batch is scheduled and computed (masks of constraints are made meanwhile), tokens
are chosen, and what came of it is reported. What a request generates depends on the request alone, not on what else is
in the batch nor on what was proposed, if the backend computes every row independently of the others.
"""

from __future__ import annotations

import time
from collections.abc import Sequence as Many
from dataclasses import replace
from typing import Unpack

from honed.backends.base import PAGE_TOKENS, Backend, Choice, Logprobs
from honed.backends.cache_turns import take_turn
from honed.errors import HonedError, ParameterError, PromptTooLongError
from honed.parameters import whole_number
from honed.runtime.batch import Chunk, make_batch
from honed.runtime.draft import DraftModel
from honed.runtime.engine_options import DEFAULT, EngineKeywords, EngineOptions
from honed.runtime.events import Event, Failed, Finished, Generated, Output, PromptScored, Started
from honed.runtime.logits_chooser import chooser_of
from honed.runtime.masks import MaskMaker
from honed.runtime.request import FinishReason, Request
from honed.runtime.sampling import Sampler
from honed.runtime.scheduler import Scheduler
from honed.runtime.sequence import Sequence
from honed.runtime.speculation import Speculation, SpeculationKind
from honed.runtime.statistics import EngineStatistics
from honed.runtime.step_rows import StepRows


class Engine:
    """Runs requests together on one backend. Not safe for two threads at once."""

    def __init__(
        self,
        backend: Backend,
        options: EngineOptions = DEFAULT,
        *,
        draft: Backend | None = None,
        **given: Unpack[EngineKeywords],
    ) -> None:
        """options: how requests are run together; keywords change a field of them. draft: a smaller model with the same
        vocabulary, not used by anybody else, that makes further guesses. No result depends on any of it."""
        run = replace(options, **given)
        self._backend = backend
        self._chooser = chooser_of(backend)
        self._scheduler = Scheduler(
            backend.page_groups,
            backend.step_tokens,
            run.max_sequences,
            choices=self._chooser.choices,
            max_waiting=run.max_waiting,
            step_seconds=run.step_seconds,
            prefix_cache=run.prefix_cache,
        )
        self._speculation = _speculation(run.speculation, draft, backend.vocabulary)
        self._masks = MaskMaker()
        self._sequences: dict[int, Sequence] = {}
        self._unstarted: set[int] = set()
        self._next_id = 0
        self._ended: list[Event] = []
        """What is to be reported by the next step that succeeds: of requests that have ended outside of one."""
        self._steps = self._prompt_tokens = self._generated = self._proposed = self._accepted = 0
        self._seconds = 0.0

    @property
    def idle(self) -> bool:
        """Whether a step would report nothing."""
        return not self._sequences and not self._ended

    @property
    def positions(self) -> int:
        """Prompt and reply of one request together have at most so many tokens: the context, or the whole cache."""
        return min(self._backend.context, self._backend.pages * PAGE_TOKENS)

    @property
    def free_pages(self) -> int:
        """KV pages that no request holds, of the first group."""
        return self._scheduler.free_pages

    @property
    def free_window_pages(self) -> tuple[int, ...]:
        """Likewise of each other group (`Backend.page_groups`)."""
        return self._scheduler.free_window_pages

    def add(self, request: Request) -> int:
        """Queues a request; its id. What cannot run is refused here with a ParameterError, and with a QueueFullError
        what would wait behind too many."""
        self._require_runnable(request)
        request_id = self._next_id
        self._next_id += 1
        sequence = Sequence(
            id=request_id,
            request=request,
            limit=min(request.max_tokens, self.positions - len(request.prompt)),
            sampler=Sampler(request.sampling, request.prompt),
            tokens=list(request.prompt),
        )
        self._scheduler.add(sequence)
        self._sequences[request_id] = sequence
        self._unstarted.add(request_id)
        return request_id

    def check(self, request: Request) -> None:
        """ParameterError for what `add` would refuse. May be called from any thread."""
        self._require_runnable(request)

    def abort(self, request_id: int) -> None:
        """Ends a request and frees its pages now; the next step reports it. One that has ended is left alone."""
        if request_id in self._sequences:
            self._end(Finished(request_id, "abort"))

    def step(self) -> list[Event]:
        """One batch through the backend, and what came of it.

        An exception of the backend passes through and leaves every request as it was before the step.
        """
        started, accepted = time.perf_counter(), self._accepted
        if not take_turn(self._backend, self):
            self._scheduler.forget_contents()
        self._propose()
        chunks = self._scheduler.schedule()
        for sequence, error in self._scheduler.take_timed_out():
            self._end(Failed(sequence.id, error))
        events: list[Event] = []
        if chunks:
            choices, faults = self._run(chunks)
            events = self._postprocess(chunks, choices, faults)
            self._note(chunks, time.perf_counter() - started, self._accepted - accepted)
        ended, self._ended = self._ended, []
        return ended + events

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

    def statistics(self) -> EngineStatistics:
        """What it has done so far."""
        scheduler = self._scheduler.statistics
        return EngineStatistics(
            running=scheduler.running,
            waiting=scheduler.waiting,
            free_pages=scheduler.free_pages,
            cached_pages=scheduler.cached_pages,
            total_pages=scheduler.pages,
            prefix_queried=scheduler.prefix_queries,
            prefix_found=scheduler.prefix_hits,
            preemptions=scheduler.preemptions,
            evictions=scheduler.evictions,
            prompt_tokens=self._prompt_tokens,
            generated_tokens=self._generated,
            steps=self._steps,
            step_seconds=self._seconds,
            proposed=self._proposed,
            accepted=self._accepted,
        )

    def check_integrity(self) -> None:
        """AssertionError unless queue, sequences, pages and what is kept beside them agree."""
        self._scheduler.check_integrity()
        assert {sequence.id for sequence in self._scheduler.sequences} == set(self._sequences)
        assert self._unstarted <= set(self._sequences), "requests that have ended count as not started"
        if self._speculation is not None:
            self._speculation.check_integrity(self._sequences)

    def _propose(self) -> None:
        """Sets what is tried ahead for the sequences that decode. A constraint that raises ends its request."""
        if self._speculation is None:
            return
        running = self._scheduler.running
        decoding: list[Sequence] = []
        failed: list[Failed] = []
        for sequence in running:
            sequence.proposal = []
            if sequence.to_compute > 1 or not sequence.request.speculate:
                continue
            constraint = sequence.request.constraint
            if constraint is not None:
                try:
                    sequence.proposal = constraint.forced()[: sequence.limit - sequence.generated - 1]
                except Exception as error:
                    failed.append(Failed(sequence.id, error))
                    continue
            if not sequence.proposal:
                decoding.append(sequence)
        # Beside rows of prompts a proposed one delays a first token, and what it costs is not known.
        if decoding and not any(sequence.to_compute > 1 for sequence in running):
            self._speculation.propose(decoding, len(running))
        for event in failed:
            self._end(event)

    def _run(self, chunks: list[Chunk]) -> tuple[list[Choice], dict[int, Exception]]:
        """What was chosen for each selected row, and what went wrong before, by the ids of requests."""
        step = StepRows(self._masks)
        step.begin(chunks)
        try:
            self._chooser.compute(make_batch(chunks))
        finally:
            step.finish()
        rows = step.rows(chunks)
        return self._chooser.choose(rows) if rows else [], step.faults

    def _postprocess(self, chunks: list[Chunk], choices: list[Choice], faults: dict[int, Exception]) -> list[Event]:
        """A fault in one request ends that request and no other."""
        events: list[Event] = []
        row = 0
        for chunk in chunks:
            sequence, first = chunk.sequence, row
            row += chunk.selected
            if sequence.id in self._unstarted:
                self._unstarted.remove(sequence.id)
                events.append(Started(sequence.id, sequence.cached))
            try:
                if sequence.id in faults:
                    raise faults[sequence.id]
                reason = self._take(chunk, choices[first:row], events)
            except Exception as error:
                chunk.advance()
                self._remove(sequence.id)
                events.append(Failed(sequence.id, error))
                continue
            if reason is not None:
                self._remove(sequence.id)
                events.append(Finished(sequence.id, reason))
        return events

    def _take(self, chunk: Chunk, choices: list[Choice], events: list[Event]) -> FinishReason | None:
        """Takes what was chosen for a chunk, and reports it. Why the request ends by it, if it does."""
        sequence = chunk.sequence
        scored = len(chunk.scored)
        if scored:
            events.append(PromptScored(sequence.id, tuple(_logprobs(choice) for choice in choices[:scored])))
        reason: FinishReason | None = None
        accepted = 0
        if chunk.completes:
            reason, accepted = self._accept(sequence, chunk.proposed, choices[scored:], events)
        chunk.advance(accepted)
        return reason

    def _accept(
        self, sequence: Sequence, proposed: tuple[int, ...], choices: list[Choice], events: list[Event]
    ) -> tuple[FinishReason | None, int]:
        """Appends chosen tokens up to the first one that was not proposed. How many of those proposed came true."""
        request = sequence.request
        if sequence.limit == 0:
            return "length", 0
        for accepted, choice in enumerate(choices):
            if choice.error is not None:
                raise choice.error
            token = choice.token
            sequence.sampler.take(token)
            if request.constraint is not None:
                request.constraint.accept(token)
            self._generated += 1
            if token in request.stop_tokens:
                return "stop", accepted
            sequence.tokens.append(token)
            events.append(Generated(sequence.id, token, choice.logprobs))
            if request.constraint is not None and request.constraint.ended:
                return "stop", accepted
            if sequence.generated == sequence.limit:
                return "length", accepted
            if accepted == len(proposed) or token != proposed[accepted]:
                break
            self._accepted += 1
        return None, accepted

    def _note(self, chunks: list[Chunk], seconds: float, accepted: int) -> None:
        """Counts a step, and lets those learn that decide by what steps take."""
        rows = proposed = prompt = 0
        for chunk in chunks:
            rows += chunk.count
            proposed += len(chunk.proposed)
            if chunk.count > 1 or chunk.start < len(chunk.sequence.request.prompt):
                prompt += chunk.count
        self._steps += 1
        self._seconds += seconds
        self._proposed += proposed
        self._prompt_tokens += prompt
        self._scheduler.note_step(seconds)
        if self._speculation is not None and not prompt:
            self._speculation.note(rows + proposed, seconds, proposed=proposed, accepted=accepted)

    def _end(self, event: Finished | Failed) -> None:
        """Ends a request outside of postprocessing; the next step that succeeds reports it."""
        self._remove(event.request_id)
        self._ended.append(event)

    def _remove(self, request_id: int) -> None:
        sequence = self._sequences.pop(request_id)
        self._unstarted.discard(request_id)
        self._scheduler.remove(sequence)
        if self._speculation is not None:
            self._speculation.forget(sequence)

    def _require_runnable(self, request: Request) -> None:
        prompt = request.prompt
        if not prompt:
            raise ParameterError("prompt", prompt, "must have at least one token")
        vocabulary = self._backend.vocabulary
        for token in prompt:
            if not 0 <= token < vocabulary:
                raise ParameterError("prompt", token, f"token ids of this model are from 0 to {vocabulary - 1}")
        for token, _ in request.sampling.logit_bias:
            if token >= vocabulary:
                raise ParameterError("logit_bias", token, f"token ids of this model are from 0 to {vocabulary - 1}")
        whole_number("max_tokens", request.max_tokens, 0)
        if len(prompt) >= self.positions + (request.max_tokens == 0):
            cache = self._backend.pages * PAGE_TOKENS
            where = f"the model's context of {self._backend.context}"
            if cache < self._backend.context:
                where = f"the KV cache of {cache}"
            raise PromptTooLongError(
                "prompt", f"{len(prompt)} tokens", f"must leave room for a reply in {where} tokens"
            )


def _speculation(kind: SpeculationKind, draft: Backend | None, vocabulary: int) -> Speculation | None:
    if draft is not None and draft.vocabulary != vocabulary:
        raise ParameterError(
            "draft",
            f"a model with {draft.vocabulary} tokens",
            f"must have the vocabulary of the model that it drafts for, which has {vocabulary}",
        )
    if kind == "off" and draft is None:
        return None
    return Speculation(lookup=kind == "prompt-lookup", draft=None if draft is None else DraftModel(draft))


def _logprobs(choice: Choice) -> Logprobs:
    """Of a row that was scored."""
    if choice.error is not None:
        raise choice.error
    if choice.logprobs is None:
        raise HonedError("the backend scored a token without saying how probable it is")
    return choice.logprobs
