"""The choice of the next token from logits. A result depends on the logits, the settings and the seed alone.

`Sampler` says how the next token of one request is to be chosen, and `choose_row` chooses it with numpy: the reference
of what backends do where the logits are, and what is done for those that do not. Not here: the settings and their
ranges, which are `Sampling` in `runtime/request.py`.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from honed.backends.base import Choice, Logprobs, RowChoice
from honed.backends.choice_errors import bad_token, none_allowed, not_finite
from honed.backends.token_pairs import TokenPairs
from honed.errors import HonedError, ParameterError
from honed.lazy_imports import numpy as np
from honed.runtime.dry import Dry
from honed.runtime.exponential import exp_nonpositive, log_positive
from honed.runtime.filters import candidates, draw, largest
from honed.runtime.penalties import Counts, Seen, Tracker
from honed.runtime.philox import Uniforms
from honed.runtime.request import Sampling

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Sampler:
    """How the tokens of one request are chosen, with a random stream of its own (Philox, Salmon et al. 2011).

    The number that the k-th token is drawn with depends on the seed and k alone, so that no result depends on what was
    proposed, or computed twice.
    """

    def __init__(self, sampling: Sampling, prompt: Sequence[int]) -> None:
        self._sampling = sampling
        trackers: list[Tracker] = []
        if sampling.repetition_penalty != 1:
            trackers.append(Seen(prompt if sampling.repetition_scope == "all" else ()))
        if sampling.presence_penalty or sampling.frequency_penalty:
            trackers.append(Counts())
        if sampling.dry_multiplier:
            trackers.append(Dry(sampling, prompt))
        self._trackers = tuple(trackers)
        self._ahead: list[int] = []  # pushed to the trackers, not taken
        self._taken = 0
        self._uniforms: Uniforms | None = None
        if sampling.temperature:
            seed = sampling.seed
            self._uniforms = Uniforms(int.from_bytes(os.urandom(8), "little") if seed is None else seed)
        self._plain = RowChoice(
            bias=TokenPairs.floats(sampling.logit_bias) if sampling.logit_bias else (),
            repetition_penalty=sampling.repetition_penalty,
            presence_penalty=sampling.presence_penalty,
            frequency_penalty=sampling.frequency_penalty,
            temperature=sampling.temperature,
            top_k=sampling.top_k,
            top_p=sampling.top_p,
            min_p=sampling.min_p,
            logprobs=sampling.logprobs,
        )

    def row(
        self,
        pending: Sequence[int] = (),
        *,
        mask: NDArray[np.uint32] | None = None,
        banned: Collection[int] = (),
    ) -> RowChoice:
        """How the next token is to be chosen if all of `pending` are taken first. Calls with ever longer beginnings of
        the same proposal cost no more than one each. mask, banned: as in `RowChoice`."""
        if self._uniforms is None and not self._trackers and mask is None and not banned:
            return self._plain
        # A dataclass has no quicker way to make one that differs in a field; there are up to 64 of these in a step.
        made = object.__new__(RowChoice)
        fields = made.__dict__
        fields.update(self._plain.__dict__)
        if mask is not None:
            fields["mask"] = mask
        if banned:
            fields["banned"] = banned
        if self._trackers:
            self._go_ahead(pending)
            for tracker in self._trackers:
                tracker.fill(fields)
        if self._uniforms is not None:
            fields["uniform"] = self._uniforms[self._taken + len(pending)]
        return made

    def take(self, token: int) -> None:
        """Notes a token that was chosen."""
        self._taken += 1
        if self._trackers:
            if self._ahead and self._ahead[0] == token:
                del self._ahead[0]
            else:
                self._go_ahead(())
                for tracker in self._trackers:
                    tracker.push(token)
            for tracker in self._trackers:
                tracker.settle()

    def _go_ahead(self, pending: Sequence[int]) -> None:
        """Brings the trackers to where `pending` ends."""
        ahead = self._ahead
        same = 0
        while same < len(ahead) and same < len(pending) and ahead[same] == pending[same]:
            same += 1
        for _ in range(len(ahead) - same):
            ahead.pop()
            for tracker in self._trackers:
                tracker.pop()
        for token in pending[same:]:
            ahead.append(token)
            for tracker in self._trackers:
                tracker.push(token)

    def choose(self, logits: NDArray[np.float32]) -> int:
        """The next token, from logits [vocabulary], which are not changed; it is taken. NaN or infinite ones:
        HonedError."""
        choice = choose_row(logits, self.row())
        if choice.error is not None:
            raise choice.error
        self.take(choice.token)
        return choice.token


def choose_row(logits: NDArray[np.float32], choice: RowChoice) -> Choice:
    """What `ChoosingBackend.choose` gives for logits [vocabulary], which are not changed.

    A logit that a step would make greater than float32 holds is the greatest that it holds. A token outside the
    vocabulary, in whatever field, is an error of the row.
    """
    error = _bad_token(choice, logits.size) or _not_finite(logits)
    if error is not None:
        return Choice(-1, error=error)
    if choice.score is not None:
        return Choice(choice.score, _logprobs(logits, choice.score, choice.logprobs or 0))
    allowed = _allowed(choice, logits.size)
    if allowed is not None and not allowed.any():
        return Choice(-1, error=none_allowed())
    changed = _changed(logits, choice)
    if choice.temperature == 0:
        token = int(np.argmax(changed if allowed is None else np.where(allowed, changed, -np.inf)))
    else:
        ids, weights = candidates(changed, choice, None if allowed is None else np.flatnonzero(allowed))
        token = int(ids[draw(weights, choice.uniform)])
    return Choice(token, None if choice.logprobs is None else _logprobs(logits, token, choice.logprobs))


def _allowed(choice: RowChoice, vocabulary: int) -> NDArray[np.bool_] | None:
    """Where mask and bans leave a token; None: everywhere."""
    if choice.mask is None and not len(choice.banned):
        return None
    allowed = np.ones(vocabulary, dtype=bool)
    if choice.mask is not None:
        words = choice.mask.astype("<u4", copy=False)[: (vocabulary + 31) // 32]
        bits = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), bitorder="little")[:vocabulary]
        allowed[: bits.size] = bits
        allowed[bits.size :] = False
    allowed[list(choice.banned)] = False
    return allowed


def _changed(logits: NDArray[np.float32], choice: RowChoice) -> NDArray[np.float32]:
    """After the bias and the penalties."""
    if not (len(choice.bias) or len(choice.seen) or len(choice.counts) or len(choice.dry)):
        return logits
    changed = logits.copy()

    def put(ids: list[int], values: NDArray[np.float32]) -> None:
        most = np.finfo(np.float32).max
        changed[ids] = np.clip(values, -most, most)

    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        if len(choice.bias):
            ids, values = _columns(choice.bias)
            put(ids, changed[ids] + values.astype(np.float32))
        if len(choice.seen):
            ids, factor = list(choice.seen), np.float32(choice.repetition_penalty)
            found = changed[ids]
            put(ids, np.where(found > 0, found / factor, found * factor))
        if len(choice.counts):
            ids, times = _columns(choice.counts)
            less = choice.presence_penalty + choice.frequency_penalty * times
            put(ids, changed[ids] - less.astype(np.float32))
        if len(choice.dry):
            ids, values = _columns(choice.dry)
            put(ids, changed[ids] - values.astype(np.float32))
    return changed


def _columns(pairs: Collection[tuple[int, float]]) -> tuple[list[int], NDArray[np.float64]]:
    return [token for token, _ in pairs], np.array([value for _, value in pairs], dtype=np.float64)


def _logprobs(logits: NDArray[np.float32], token: int, count: int) -> Logprobs:
    exact = logits.astype(np.float64)
    greatest = exact.max()
    # cumsum adds one by one; sum would add in an order that depends on the instruction set.
    whole = log_positive(float(np.cumsum(exp_nonpositive(exact - greatest))[-1]))

    def logprob(place: int) -> float:
        return float(exact[place] - greatest) - whole

    top = largest(logits, min(count, logits.size)) if count else np.empty(0, dtype=np.intp)
    order = [int(place) for place in top[np.argsort(-logits[top], kind="stable")]]
    return Logprobs(
        logprob=logprob(token),
        top=tuple((place, logprob(place)) for place in order),
        rank=int(np.count_nonzero(logits > logits[token])),
    )


def _bad_token(choice: RowChoice, vocabulary: int) -> ParameterError | None:
    tokens: dict[str, Collection[int]] = {
        "banned": choice.banned,
        "bias": [token for token, _ in choice.bias],
        "seen": choice.seen,
        "counts": [token for token, _ in choice.counts],
        "dry": [token for token, _ in choice.dry],
        "score": () if choice.score is None else (choice.score,),
    }
    for name, given in tokens.items():
        for token in given:
            if not 0 <= token < vocabulary:
                return bad_token(name, token, vocabulary)
    return None


def _not_finite(logits: NDArray[np.float32]) -> HonedError | None:
    finite = np.isfinite(logits)
    if finite.all():
        return None
    bad = np.flatnonzero(~finite)
    return not_finite(bad.size, logits.size, int(bad[0]), float(logits[bad[0]]))
