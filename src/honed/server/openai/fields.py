"""Fields that chat and completions share, and how they become a `Call`. Bounds are those of OpenAI's API, extensions
those that vLLM and llama.cpp have settled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StrictStr

from honed.errors import quoted
from honed.runtime.options import SamplingOptions
from honed.server.errors import refused
from honed.server.exchange import Grammar
from honed.server.fields import Body, Document, at_most, compact, refuse_unsupported

MOST_STOPS = 16
MOST_BIASES = 1024
MOST_TOKENS = (1 << 31) - 1
MOST_SEED = (1 << 63) - 1

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "use_beam_search": (False,),
    "length_penalty": (1, 1.0),
    "typical_p": (1, 1.0),
    "tfs_z": (1, 1.0),
    "top_a": (0, 0.0),
    "mirostat": (0,),
    "xtc_probability": (0, 0.0),
    "dynatemp_range": (0, 0.0),
    "epsilon_cutoff": (0, 0.0),
    "eta_cutoff": (0, 0.0),
    "no_repeat_ngram_size": (0,),
    "top_n_sigma": (-1, -1.0, 0, 0.0),
    "bad_words": ([],),
    "allowed_token_ids": ([],),
    "logits_processors": ([],),
    "truncate_prompt_tokens": (),
    "prompt_embeds": (),
    "prompt_logprobs": (),
    "return_tokens_as_token_ids": (False,),
    "return_token_ids": (False,),
    "guided_decoding_backend": (),
    "structural_tag": (),
    "lora": (),
}
REMEDIES = {
    "prompt_logprobs": "ask /v1/completions with echo and logprobs",
    "truncate_prompt_tokens": "shorten the prompt",
    "use_beam_search": "use sampling, or n",
}


Bias = Annotated[float, Field(ge=-100, le=100)]


class StreamOptions(Body):
    """What a stream tells beside the text."""

    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None


class Sampled(Body):
    """What both kinds of request may ask of sampling."""

    model: str
    temperature: Annotated[float | None, Field(ge=0, le=2)] = None
    top_p: Annotated[float | None, Field(gt=0, le=1)] = None
    top_k: Annotated[int | None, Field(ge=-1, le=MOST_TOKENS)] = None
    min_p: Annotated[float | None, Field(ge=0, le=1)] = None
    presence_penalty: Annotated[float | None, Field(ge=-2, le=2)] = None
    frequency_penalty: Annotated[float | None, Field(ge=-2, le=2)] = None
    repetition_penalty: Annotated[float | None, Field(gt=0, le=10)] = None
    dry_multiplier: Annotated[float | None, Field(ge=0, le=100)] = None
    dry_base: Annotated[float | None, Field(ge=1, le=100)] = None
    dry_allowed_length: Annotated[int | None, Field(ge=0, le=MOST_TOKENS)] = None
    logit_bias: Annotated[dict[str, Bias], at_most(MOST_BIASES), Field(max_length=MOST_BIASES)] | None = None
    seed: Annotated[int | None, Field(ge=-MOST_SEED - 1, le=MOST_SEED)] = None
    n: Annotated[int | None, Field(ge=1, le=128)] = None
    max_tokens: Annotated[int | None, Field(ge=0, le=MOST_TOKENS)] = None
    min_tokens: Annotated[int | None, Field(ge=0, le=MOST_TOKENS)] = None
    stop: StrictStr | Annotated[list[StrictStr], Field(max_length=MOST_STOPS)] | None = None
    stop_token_ids: Annotated[list[int] | None, Field(max_length=MOST_BIASES)] = None
    include_stop_str_in_output: bool | None = None
    ignore_eos: bool | None = None
    skip_special_tokens: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    priority: Annotated[int | None, Field(ge=-1000, le=1000)] = None
    user: str | None = None
    cache_salt: Annotated[str | None, Field(max_length=256)] = None
    guided_json: StrictStr | dict[str, Any] | None = None
    guided_regex: str | None = None
    guided_choice: list[str] | None = None
    guided_grammar: str | None = None

    def check(self) -> None:
        """RequestError for what does not go together, and one warning for what is not known."""
        refuse_unsupported(self, NEUTRAL, REMEDIES)
        if self.stream_options is not None and not self.stream:
            raise refused(400, "stream_options is only for streams: set stream to true", "stream_options")
        self.warn_of_unknown()

    @property
    def tells_usage(self) -> bool:
        """Whether a stream ends with its usage."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    @property
    def tells_usage_always(self) -> bool:
        """Whether every chunk has the usage so far."""
        return self.tells_usage and bool(self.stream_options and self.stream_options.continuous_usage_stats)

    def sampling(self) -> SamplingOptions:
        """What is said of it; the rest is the model's own."""
        given: dict[str, Any] = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": None if self.top_k is None else max(self.top_k, 0),  # -1 is how some say that all are kept
            "min_p": self.min_p,
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
            "repetition_penalty": self.repetition_penalty,
            "dry_multiplier": self.dry_multiplier,
            "dry_base": self.dry_base,
            "dry_allowed_length": self.dry_allowed_length,
            "logit_bias": _biases(self.logit_bias),
            # One of 64 bits with a sign is as good as one without.
            "seed": None if self.seed is None else self.seed & ((1 << 64) - 1),
        }
        return SamplingOptions(**{name: value for name, value in given.items() if value is not None})

    def grammar(self) -> Grammar | None:
        """Of the `guided_` extensions; two of them: RequestError."""
        found: list[Grammar] = []
        if self.guided_json is not None:
            source = self.guided_json if isinstance(self.guided_json, str) else compact(self.guided_json)
            found.append(Grammar(kind="json_schema", source=source, parameter="guided_json"))
        if self.guided_regex is not None:
            found.append(Grammar(kind="regex", source=self.guided_regex, parameter="guided_regex"))
        if self.guided_choice is not None:
            found.append(Grammar(kind="choice", source=compact(self.guided_choice), parameter="guided_choice"))
        if self.guided_grammar is not None:
            found.append(Grammar(kind="lark", source=self.guided_grammar, parameter="guided_grammar"))
        if len(found) > 1:
            raise refused(400, f"{found[0].parameter} and {found[1].parameter}: give one of them", found[1].parameter)
        return found[0] if found else None

    def stops(self) -> tuple[str, ...]:
        """Stop strings; an empty one: RequestError."""
        given = [self.stop] if isinstance(self.stop, str) else list(self.stop or ())
        if "" in given:
            raise refused(400, "stop: a stop string must not be empty", "stop")
        return tuple(given)

    def common(self) -> dict[str, Any]:
        """Fields of a `Call` that both kinds have in common."""
        return {
            "model": self.model,
            "min_tokens": self.min_tokens or 0,
            "sampling": self.sampling(),
            "stop": self.stops(),
            "stop_token_ids": tuple(self.stop_token_ids or ()),
            "ignore_eos": bool(self.ignore_eos),
            "n": self.n or 1,
            "priority": self.priority or 0,
            "cache_salt": self.cache_salt or "",
            "user": self.user or "",
            "include_stop": bool(self.include_stop_str_in_output),
            "skip_special": self.skip_special_tokens is not False,
        }


class TextFormat(Body):
    """What the text of a reply must be."""

    type: Literal["text", "json_object", "json_schema", "grammar"]
    json_schema: dict[str, Any] | None = None
    grammar: str | None = None

    def read(self, parameter: str = "response_format") -> Grammar | None:
        """The grammar it asks for. A schema that is missing: RequestError."""
        if self.type == "text":
            return None
        if self.type == "json_object":
            return Grammar(kind="json_object", parameter=parameter)
        if self.type == "grammar":
            if self.grammar is None:
                raise refused(400, f"{parameter}.grammar is missing, and required", f"{parameter}.grammar")
            return Grammar(kind="lark", source=self.grammar, parameter=parameter)
        schema = (self.json_schema or {}).get("schema")
        if not isinstance(schema, Mapping):
            raise refused(
                400,
                f"{parameter}.json_schema.schema = {quoted(schema)}: must be a JSON schema, an object",
                f"{parameter}.json_schema",
            )
        return Grammar(kind="json_schema", source=compact(schema), parameter=parameter)


class PromptDetails(Document):
    """Of the tokens of the prompt, those found in the prefix cache."""

    cached_tokens: int


class CompletionDetails(Document):
    """Of the generated tokens, those of the reasoning."""

    reasoning_tokens: int


class UsageDocument(Document):
    """Counts of tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails


class ErrorObject(Document):
    """What went wrong."""

    message: str
    type: StrictStr
    param: StrictStr | None
    code: StrictStr | None


class ErrorDocument(Document):
    """Every refusal."""

    error: ErrorObject


def _biases(given: Mapping[str, float] | None) -> tuple[tuple[int, float], ...] | None:
    if given is None:
        return None
    found: list[tuple[int, float]] = []
    for name, value in given.items():
        if not (name.isascii() and name.isdecimal() and len(name) < 10):
            raise refused(400, f"logit_bias: {quoted(name)} must be a token id", "logit_bias")
        found.append((int(name), float(value)))
    if len({token for token, _ in found}) != len(found):
        raise refused(400, "logit_bias: a token id stands there twice", "logit_bias")
    return tuple(found)
