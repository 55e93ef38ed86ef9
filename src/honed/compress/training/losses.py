"""What is learned from logits: their distance from the teacher's (Hinton et al. 2015), and the tokens of the text.

Values and gradients are written out, a few rows at a time, so that of a whole vocabulary no more is held than logits
and their gradient.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from honed.compress.training.runner import Runner
from honed.compress.training.settings import CHUNK_BYTES, LogitLoss

NO_TOKEN = -1
"""In place of a token that is to be predicted, where a window ends."""
_TOGETHER = 8
"""Rows whose softmax stays in the cache of a core."""


@dataclass
class Sums:
    """Over rows: of KL(teacher || student) in nats at temperature 1 or the one that is trained at, and over those of
    `predicted` of the negative log-likelihood of the next token."""

    distance: float = 0.0
    rows: int = 0
    likelihood: float = 0.0
    predicted: int = 0

    def add(self, other: Sums) -> None:
        self.distance += other.distance
        self.rows += other.rows
        self.likelihood += other.likelihood
        self.predicted += other.predicted

    @property
    def mean_distance(self) -> float:
        return self.distance / max(self.rows, 1)

    @property
    def mean_likelihood(self) -> float:
        return self.likelihood / max(self.predicted, 1)


@dataclass(frozen=True)
class Headed:
    """A model with its weights, and rows that enter its head."""

    runner: Runner
    weights: Mapping[str, Tensor]
    rows: Tensor

    def logits(self, part: slice) -> Tensor:
        return self.runner.logits(self.weights, self.rows[part])


def next_tokens(tokens: Tensor) -> Tensor:
    """The token behind each of `tokens` [windows, tokens of each], one row after the other; NO_TOKEN behind the last
    of a window."""
    following = torch.full_like(tokens, NO_TOKEN)
    following[:, :-1] = tokens[:, 1:]
    return following.reshape(-1)


def learn(
    student: Headed, teacher: Headed | None, targets: Tensor, settings: LogitLoss, share: float
) -> tuple[Sums, Tensor]:
    """What the rows come to, and the gradient of the mean loss over them, times `share`, for the student's rows. That
    for the weights of its head is added to their `grad`."""
    entering = student.rows.detach().requires_grad_()
    with torch.enable_grad():
        own = Headed(student.runner, student.weights, entering)
        total = Sums()
        for part in _chunks(targets, student):
            with torch.no_grad():
                aims = None if teacher is None else teacher.logits(part)
            logits = own.logits(part)
            counts = Counts(share / len(targets), share / max(int((targets != NO_TOKEN).sum()), 1))
            sums, gradient = compare(logits.detach(), aims, targets[part], settings, counts)
            total.add(sums)
            logits.backward(gradient)  # type: ignore[no-untyped-call]
    assert entering.grad is not None
    return total, entering.grad


def judge(student: Headed, teacher: Headed | None, targets: Tensor) -> Sums:
    """What the rows come to, at temperature 1."""
    total = Sums()
    with torch.no_grad():
        for part in _chunks(targets, student):
            aims = None if teacher is None else teacher.logits(part)
            total.add(compare(student.logits(part), aims, targets[part], LogitLoss(tokens=1.0), None)[0])
    return total


@dataclass(frozen=True)
class Counts:
    """What a row counts in a loss: of its distance, and of the token behind it."""

    distance: float
    token: float


def compare(
    logits: Tensor, aims: Tensor | None, targets: Tensor, settings: LogitLoss, counts: Counts | None
) -> tuple[Sums, Tensor]:
    """logits, aims [rows, vocabulary], targets [rows]. With `counts`, the gradient for the logits, in their type; else
    an empty tensor. Without `aims` there is no distance."""
    gradient = torch.empty_like(logits) if counts is not None else logits.new_empty(0)
    total = Sums(rows=len(targets), predicted=int((targets != NO_TOKEN).sum()))
    temperature = settings.temperature
    with torch.no_grad():
        for first in range(0, len(targets), _TOGETHER):
            rows = slice(first, first + _TOGETHER)
            grown = None
            if aims is not None and (counts is None or settings.distance):
                own, wanted = (_Softmax(x[rows], temperature) for x in (logits, aims))
                total.distance += wanted.distance(own)
                if counts is not None:
                    # The square of the temperature keeps the gradient as large as at 1.
                    factor = settings.distance * counts.distance * temperature
                    grown = own.shares(factor).sub_(wanted.shares(factor))
            if counts is None or settings.tokens:
                following = targets[rows]
                known = following != NO_TOKEN
                softmax, places = _Softmax(logits[rows], 1.0), following.clamp(min=0)[:, None]
                total.likelihood -= float(softmax.logarithms(places)[known].sum())
                if counts is not None:
                    factor = settings.tokens * counts.token
                    of_tokens = softmax.shares(factor)
                    of_tokens.scatter_add_(1, places, of_tokens.new_full(places.shape, -factor)).mul_(known[:, None])
                    grown = of_tokens if grown is None else grown.add_(of_tokens)
            if counts is not None:
                gradient[rows] = 0.0 if grown is None else grown
    return total, gradient


class _Softmax:
    """Of a few rows of logits, in float32."""

    def __init__(self, logits: Tensor, temperature: float) -> None:
        self._logits = logits.to(torch.float32, copy=True)
        if temperature != 1.0:
            self._logits.div_(temperature)
        self._logits.sub_(self._logits.amax(-1, keepdim=True))
        self._powers = self._logits.exp()
        self._sums = self._powers.sum(-1, keepdim=True)

    def distance(self, other: _Softmax) -> float:
        """The sum of KL(this || other) over rows. Takes the logits away."""
        mean = torch.linalg.vecdot(self._powers, self._logits.sub_(other._logits))[:, None] / self._sums
        return float((mean - self._sums.log() + other._sums.log()).sum())

    def logarithms(self, places: Tensor) -> Tensor:
        """Of the shares at `places` [rows, 1]: [rows]."""
        return (self._logits.gather(1, places) - self._sums.log())[:, 0]

    def shares(self, factor: float) -> Tensor:
        """Times a factor. Takes the powers away."""
        return self._powers.mul_(factor / self._sums)


def _chunks(targets: Tensor, student: Headed) -> Iterator[slice]:
    rows = max(_TOGETHER, CHUNK_BYTES // (student.runner.vocabulary * student.runner.bytes))
    return (slice(first, first + rows) for first in range(0, len(targets), rows))
