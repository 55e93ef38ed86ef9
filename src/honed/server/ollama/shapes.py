"""What Ollama's API answers, for /openapi.json. Not here: making it (`output.py`, `catalogue.py`)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict

from honed.server.fields import Document


class OllamaRefusal(Document):
    """Every refusal of these routes."""

    error: str


class CalledFunction(Document):
    """A function that the client is to call."""

    index: int
    name: str
    arguments: dict[str, Any]


class OllamaCall(Document):
    """A call of a tool."""

    function: CalledFunction


class OllamaMessage(Document):
    """What the model says."""

    role: Literal["assistant"]
    content: str
    thinking: str | None = None
    tool_calls: list[OllamaCall] | None = None


class OllamaLogprob(Document):
    """A token of a text, and those that could have stood there."""

    token: str
    bytes: list[int]
    logprob: float
    top_logprobs: list[Any]


class Ending(Document):
    """What a reply ends with; durations in nanoseconds."""

    model: str
    created_at: str
    done: bool
    done_reason: Literal["stop", "length", "load", "unload"]
    total_duration: int | None = None
    load_duration: int | None = None
    prompt_eval_count: int | None = None
    prompt_eval_duration: int | None = None
    eval_count: int | None = None
    eval_duration: int | None = None
    logprobs: list[OllamaLogprob] | None = None


class ChatDone(Ending):
    """A whole reply of /api/chat."""

    message: OllamaMessage


class GenerateDone(Ending):
    """A whole reply of /api/generate."""

    response: str
    thinking: str | None = None
    tool_calls: list[OllamaCall] | None = None


class EmbedDone(Document):
    """Vectors of length 1, in the order of the texts."""

    model: str
    embeddings: list[list[float]]
    total_duration: int
    load_duration: int
    prompt_eval_count: int


class OldEmbedDone(Document):
    """One vector, as the model gives it."""

    embedding: list[float]


class Details(Document):
    """What is known of a model's files: nothing that this server tells."""

    parent_model: str
    format: str
    family: str
    families: list[str]
    parameter_size: str
    quantization_level: str


class TaggedModel(Document):
    """A model that is served. digest: tells models apart, and is no checksum."""

    name: str
    model: str
    modified_at: str
    size: int
    digest: str
    details: Details


class Tags(Document):
    """All models."""

    models: list[TaggedModel]


class RunningModel(Document):
    """A model that is loaded."""

    name: str
    model: str
    size: int
    size_vram: int
    digest: str
    details: Details
    expires_at: str
    context_length: int


class Running(Document):
    """All models that are loaded."""

    models: list[RunningModel]


class Shown(Document):
    """What is told of one model."""

    model_config = ConfigDict(protected_namespaces=())

    modelfile: str
    parameters: str
    template: str
    details: Details
    model_info: dict[str, Any]
    capabilities: list[str]
    modified_at: str


class Version(Document):
    """version: that of Ollama whose API this is; honed: of this server."""

    version: str
    honed: str
