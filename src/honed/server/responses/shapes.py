"""What /v1/responses answers, for /openapi.json. Not here: making it (`output.py`)."""

from __future__ import annotations

from typing import Any, Literal

from honed.server.fields import Document

ItemStatus = Literal["in_progress", "completed", "incomplete"]


class TopLogprob(Document):
    """A token that could have stood there."""

    token: str
    bytes: list[int]
    logprob: float


class Logprob(TopLogprob):
    """A token of a text."""

    top_logprobs: list[TopLogprob]


class OutputText(Document):
    """The text of a message."""

    type: Literal["output_text"]
    text: str
    annotations: list[Any]
    logprobs: list[Logprob]


class MessageItem(Document):
    """What the model says."""

    id: str
    type: Literal["message"]
    status: ItemStatus
    role: Literal["assistant"]
    content: list[OutputText]


class ReasoningText(Document):
    """Reasoning as it was generated."""

    type: Literal["reasoning_text"]
    text: str


class ReasoningItem(Document):
    """What the model thought before. encrypted_content: where `include` asked for it, to be sent back."""

    id: str
    type: Literal["reasoning"]
    status: ItemStatus
    summary: list[Any]
    content: list[ReasoningText]
    encrypted_content: str | None


class FunctionCallItem(Document):
    """A call that the client is to make. arguments: JSON text."""

    id: str
    type: Literal["function_call"]
    status: ItemStatus
    call_id: str
    name: str
    arguments: str


class InputDetails(Document):
    """Of the prompt's tokens."""

    cached_tokens: int
    cache_write_tokens: int


class OutputDetails(Document):
    """Of the generated tokens."""

    reasoning_tokens: int


class ResponseUsage(Document):
    """Counts of tokens."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class IncompleteDetails(Document):
    """Why a response was cut."""

    reason: Literal["max_output_tokens"]


class ResponseFailure(Document):
    """Why a response failed."""

    code: Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]
    message: str


class FunctionTool(Document):
    """A function that could be called."""

    type: Literal["function"]
    name: str
    description: str | None
    parameters: dict[str, Any]
    strict: bool


class ResponseObject(Document):
    """A whole response."""

    id: str
    object: Literal["response"]
    created_at: int
    completed_at: int | None
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    error: ResponseFailure | None
    incomplete_details: IncompleteDetails | None
    model: str
    output: list[MessageItem | ReasoningItem | FunctionCallItem]
    usage: ResponseUsage | None
    background: bool
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    metadata: dict[str, str]
    parallel_tool_calls: bool
    previous_response_id: str | None
    prompt_cache_key: str | None
    reasoning: dict[str, Any]
    safety_identifier: str | None
    service_tier: Literal["default"]
    store: bool
    temperature: float | None
    text: dict[str, Any]
    tool_choice: str | dict[str, Any]
    tools: list[FunctionTool]
    top_logprobs: int
    top_p: float | None
    truncation: Literal["disabled"]
    user: str | None


class InputTokens(Document):
    """The answer of /v1/responses/input_tokens."""

    object: Literal["response.input_tokens"]
    input_tokens: int
