"""A request and what comes of it. Token ids only; text is made around the engine, not in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Literal

from honed.errors import ParameterError
from honed.parameters import checks_fields, choice, real_number, whole_number
from honed.records import dataclass

if TYPE_CHECKING:
    from honed.runtime.constraint import Constraint

MOST = 2**63 - 1
"""Of counts that have no other limit: what 64 bits hold."""

MOST_TOKEN = 2**31 - 1
"""Of token ids: what 32 bits hold."""

MOST_LOGPROBS = 20
"""Tokens that are reported beside each one, as OpenAI has it."""

FinishReason = Literal["stop", "length", "abort"]
RepetitionScope = Literal["all", "reply"]


@checks_fields
@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen from the logits.

    temperature 0 is greedy (lowest id among equals). top_k 0, top_p 1 and min_p 0 each keep everything;
    repetition_penalty 1 changes nothing (Keskar et al. 2019: positive logits of seen tokens are divided by it,
    negative ones multiplied); repetition_scope says which are seen: all of prompt and reply, as transformers has it, or
    those of the reply, so that what the prompt asks about can be said.
    presence_penalty is subtracted from the logit of each token that the reply holds, frequency_penalty as many times as
    it holds it (as OpenAI has them). dry_multiplier 0 is off; else repetitions of whole runs of tokens are penalized
    (`runtime/dry.py`), from dry_allowed_length tokens on, looked for in the last dry_range tokens (0: in all), and not
    across the tokens of dry_breakers.
    logit_bias: (token, value) added to logits, each token once. logprobs: so many most probable tokens are reported
    beside each chosen one, with their log-probabilities (0: the chosen one's alone); None: nothing is.
    What is set applies in the order bias, repetition, presence and frequency, DRY, temperature, top_k, top_p, min_p.
    seed None draws a fresh one.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    repetition_scope: RepetitionScope = "all"
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_range: int = 0
    dry_breakers: tuple[int, ...] = ()
    logit_bias: tuple[tuple[int, float], ...] = ()
    logprobs: int | None = None

    def __post_init__(self) -> None:
        checked: dict[str, object] = {
            "temperature": real_number("temperature", self.temperature, 0, 2, expected="must be from 0 to 2"),
            "top_k": whole_number("top_k", self.top_k, 0, MOST),
            "top_p": real_number("top_p", self.top_p, None, 1, over=0, expected="must be over 0 and at most 1"),
            "min_p": real_number("min_p", self.min_p, 0, 1, expected="must be from 0 to 1"),
            "repetition_penalty": real_number(
                "repetition_penalty",
                self.repetition_penalty,
                None,
                10,
                over=0,
                expected="must be over 0, at most 10",
            ),
            "repetition_scope": choice("repetition_scope", self.repetition_scope, ("all", "reply")),
            "seed": None if self.seed is None else whole_number("seed", self.seed, 0, 2**64 - 1),
            "presence_penalty": real_number("presence_penalty", self.presence_penalty, -2, 2),
            "frequency_penalty": real_number("frequency_penalty", self.frequency_penalty, -2, 2),
            "dry_multiplier": real_number("dry_multiplier", self.dry_multiplier, 0),
            "dry_base": real_number("dry_base", self.dry_base, 1),
            "dry_allowed_length": whole_number("dry_allowed_length", self.dry_allowed_length, 1, MOST),
            "dry_range": whole_number("dry_range", self.dry_range, 0, MOST),
            "dry_breakers": _tokens("dry_breakers", self.dry_breakers),
            "logit_bias": _biases(self.logit_bias),
            "logprobs": None if self.logprobs is None else whole_number("logprobs", self.logprobs, 0, MOST_LOGPROBS),
        }
        # In Python's own types, whatever they were given in.
        self.__dict__.update(checked)


def _tokens(name: str, given: object) -> tuple[int, ...]:
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        raise ParameterError(name, given, "must be a list of token ids")
    return tuple(whole_number(name, token, 0, MOST_TOKEN) for token in given)


def _biases(given: object) -> tuple[tuple[int, float], ...]:
    expected = "must be pairs of a token id and a number from -100 to 100"
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise ParameterError("logit_bias", given, expected)
    biases: dict[int, float] = {}
    for pair in given.items() if isinstance(given, Mapping) else given:
        if isinstance(pair, str | bytes) or not isinstance(pair, Iterable) or len(values := tuple(pair)) != 2:
            raise ParameterError("logit_bias", pair, expected)
        token = whole_number("logit_bias", values[0], 0, MOST_TOKEN)
        if token in biases:
            raise ParameterError("logit_bias", token, "must name each token once")
        biases[token] = real_number("logit_bias", values[1], -100, 100)
    return tuple(biases.items())


GREEDY = Sampling(temperature=0.0)


@dataclass(frozen=True)
class Request:
    """What the engine runs.

    stop_tokens end the request with finish reason stop, and are not part of its output; none is chosen before
    min_tokens have been generated. max_tokens 0: the prompt is computed and nothing generated (to score it).
    priority: lower ones are admitted first, equal ones in order of arrival. queue_seconds: so long it may wait for its
    first admission, then it fails with a `QueueTimeoutError`; None: for ever.
    cache_key: pages of the prefix cache are shared among requests that have the same one, and no others.
    constraint: which tokens may follow; None: any. The engine calls it from its own thread, and owns it.
    prompt_logprobs: so many most probable tokens are reported for each position of the prompt, beside the token that
    stands there (`PromptScored`); None: nothing is. speculate: whether tokens may be proposed ahead; no result depends
    on it.
    """

    prompt: tuple[int, ...]
    max_tokens: int
    sampling: Sampling = GREEDY
    stop_tokens: frozenset[int] = field(default_factory=frozenset)
    min_tokens: int = 0
    priority: int = 0
    queue_seconds: float | None = None
    cache_key: bytes = b""
    constraint: Constraint | None = None
    prompt_logprobs: int | None = None
    speculate: bool = True
