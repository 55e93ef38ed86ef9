"""What every dialect of the server makes of a request, and what it makes its reply of.

A route reads its own wire format into a `ChatCall` or a `TextCall`, hands it to the generation service
(`server/service.py`), and writes the `Delta`s that come back in its own format, streamed or whole. Nothing here knows a
dialect, and no dialect knows the engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from honed.runtime.options import SamplingOptions

StopReason = Literal["stop", "length", "tool_calls", "abort"]
"""length wins over tool_calls."""


@dataclass(frozen=True, kw_only=True)
class Grammar:
    """What the text must be. kind json_object has no source; json_schema has the schema as JSON text."""

    kind: Literal["json_object", "json_schema", "regex", "lark", "choice"]
    source: str = ""
    parameter: str = "response_format"
    """The field of the request that asked for it, for messages."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """What is common to all ways of asking."""

    model: str
    max_tokens: int | None = None
    """None: as far as the context goes."""
    min_tokens: int = 0
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    n: int = 1
    logprobs: int | None = None
    """So many most probable tokens beside each generated one; None: no logprobs at all."""
    grammar: Grammar | None = None
    priority: int = 0
    cache_salt: str = ""
    """Beside the caller's key: the prefix cache is shared by requests that are alike in both."""
    user: str = ""
    include_stop: bool = False
    """Whether the stop string that ended the text is part of it."""
    skip_special: bool = True
    """Whether control tokens are left out of the text."""


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A function that the model may call. parameters: JSON schema. strict: an unsupported schema is refused."""

    name: str
    description: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    strict: bool = False


@dataclass(frozen=True, kw_only=True)
class ChatCall(Call):
    """messages: as OpenAI's chat has them, in plain JSON values: role system, user, assistant or tool; content a text
    or a list of text parts; tool_calls with arguments as JSON text; tool_call_id; reasoning_content. A final message of
    the assistant is continued. template_variables: as enable_thinking.
    """

    messages: Sequence[Mapping[str, Any]]
    tools: tuple[Tool, ...] = ()
    tool_choice: Literal["auto", "none", "required"] = "auto"
    forced_tool: str | None = None
    """The one tool that must be called."""
    parallel_tool_calls: bool = True
    template_variables: Mapping[str, Any] = field(default_factory=dict)
    template: str | None = None
    """In place of the checkpoint's own."""
    add_generation_prompt: bool = True


@dataclass(frozen=True, kw_only=True)
class TextCall(Call):
    """One prompt of a completion. echo: the prompt is part of the text. prompt_logprobs: as `Call.logprobs`, for the
    tokens of the prompt. suffix: what comes after the text that is to be filled in."""

    prompt: str | tuple[int, ...]
    suffix: str | None = None
    echo: bool = False
    prompt_logprobs: int | None = None
    add_special_tokens: bool = True


@dataclass(frozen=True)
class TokenLogprob:
    """One token of a text. text: as it is shown alone, data: its bytes. logprob None: of the first token of a prompt.
    top: (token id, text, data, logprob) of the most probable ones, the token itself included."""

    token: int
    text: str
    data: bytes
    logprob: float | None
    top: tuple[tuple[int, str, bytes, float], ...] = ()


@dataclass(frozen=True)
class Usage:
    """Counts of tokens so far. prompt: all of it, `cached` of which were found in the prefix cache. completion: all
    that were generated, `reasoning` of which were reasoning."""

    prompt: int
    cached: int = 0
    completion: int = 0
    reasoning: int = 0


@dataclass(frozen=True)
class Admitted:
    """The call is valid and queued; sent before the prompt is computed, once for a call."""

    usage: Usage


@dataclass(frozen=True)
class TextDelta:
    """More text of choice `index`; tokens: those that it completes, where logprobs were asked for."""

    index: int
    text: str
    tokens: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class ReasoningDelta:
    """More of the reasoning before the text."""

    index: int
    text: str
    tokens: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class ToolCallBegun:
    """The call number `number` (0, 1, ...) of choice `index` begins. identifier: as call_ and 24 characters."""

    index: int
    number: int
    identifier: str
    name: str


@dataclass(frozen=True)
class ToolCallDelta:
    """More of the arguments of a tool call: a fragment of JSON text."""

    index: int
    number: int
    arguments: str


@dataclass(frozen=True)
class Ended:
    """The end of choice `index`, once each. stop: the stop string that was met. usage: of this choice alone."""

    index: int
    reason: StopReason
    usage: Usage
    stop: str | None = None


@dataclass(frozen=True)
class Quiet:
    """Nothing came for a while: the dialect sends what keeps the connection alive. comment: after 15 s, else an
    event of the dialect that clients parse, after 60 s."""

    comment: bool


Delta = Admitted | TextDelta | ReasoningDelta | ToolCallBegun | ToolCallDelta | Ended | Quiet
