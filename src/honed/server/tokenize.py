"""POST /tokenize, /detokenize, /apply-template and GET /tokenizer_info: text and tokens, nothing generated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from honed.server.documented import REFUSALS
from honed.server.errors import refused
from honed.server.exchange import ChatCall
from honed.server.fields import Body, Document, JsonRoute
from honed.server.openai.chat_request import ChatRequest
from honed.server.openai.messages import ChatMessage, ToolDefinition
from honed.server.service import Service
from honed.text.tokenizer import Tokenizer

MOST_IDS = 1 << 20


class TokenizeRequest(Body):
    """A text, by either name, or the messages of a chat. model may be left out where there is one."""

    model: str | None = None
    prompt: str | None = None
    content: str | None = None
    messages: Annotated[list[ChatMessage] | None, Field(min_length=1)] = None
    tools: list[ToolDefinition] | None = None
    add_special_tokens: bool | None = None
    add_special: bool | None = None
    add_generation_prompt: bool | None = None
    with_pieces: bool | None = None
    return_token_strs: bool | None = None
    chat_template: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None


class TokenizeDocument(Document):
    """Ids, and the text of each where it was asked for."""

    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None = None


class DetokenizeRequest(Body):
    """Token ids."""

    model: str | None = None
    tokens: Annotated[list[Annotated[int, Field(ge=0, lt=1 << 31)]], Field(max_length=MOST_IDS)]


class DetokenizeDocument(Document):
    """Their text, by both of the names that clients read."""

    prompt: str
    content: str


class TemplateRequest(Body):
    """The messages of a chat."""

    model: str | None = None
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    tools: list[ToolDefinition] | None = None
    add_generation_prompt: bool | None = None
    chat_template: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None


class TemplateDocument(Document):
    """The text of their prompt."""

    prompt: str


class TokenizerDocument(Document):
    """What a client needs to make prompts by itself."""

    model: str
    vocabulary: int
    max_model_len: int
    eos_token: str | None
    eos_token_ids: list[int]
    bos_token: str | None
    pad_token: str | None
    chat_template: str | None


def tokenize_routes(service: Service) -> APIRouter:
    """The routes, for one service."""
    router = APIRouter(route_class=JsonRoute, tags=["tokens"])

    @router.post("/tokenize", response_model=TokenizeDocument, responses=REFUSALS)
    async def tokenize(body: TokenizeRequest) -> Mapping[str, Any]:
        """Token ids of a text or of a chat."""
        body.warn_of_unknown()
        model = _named(service, body.model)
        text = body.prompt if body.prompt is not None else body.content
        if (text is None) == (body.messages is None):
            raise refused(400, "prompt, content or messages: give one of them", "prompt")
        if text is not None:
            special = body.add_special_tokens if body.add_special_tokens is not None else body.add_special
            tokens = await service.encode(model, text, add_special=special is not False)
        else:
            tokens = await service.encode_call(_chat(model, body))
        document: dict[str, Any] = {
            "count": len(tokens),
            "max_model_len": service.registry.status(model).context or 0,
            "tokens": tokens,
        }
        if body.with_pieces or body.return_token_strs:
            document["token_strs"] = await service.decode_each(model, tokens)
        return document

    @router.post("/detokenize", response_model=DetokenizeDocument, responses=REFUSALS)
    async def detokenize(body: DetokenizeRequest) -> Mapping[str, Any]:
        """The text of token ids, control tokens written out."""
        body.warn_of_unknown()
        text = await service.decode(_named(service, body.model), body.tokens)
        return {"prompt": text, "content": text}

    @router.post("/apply-template", response_model=TemplateDocument, responses=REFUSALS)
    async def apply_template(body: TemplateRequest) -> Mapping[str, Any]:
        """The text of the prompt of a chat."""
        body.warn_of_unknown()
        return {"prompt": await service.render(_chat(_named(service, body.model), body))}

    @router.get("/tokenizer_info", response_model=TokenizerDocument, responses=REFUSALS)
    async def tokenizer_info(model: str | None = None) -> Mapping[str, Any]:
        """Control tokens and chat template of a model."""
        name = _named(service, model)
        lease = await service.registry.lease(name)
        try:
            tokenizer = lease.model.tokenizer
            special = tokenizer.special_tokens
            return {
                "model": name,
                "vocabulary": tokenizer.size,
                "max_model_len": lease.model.context,
                # lm-eval separates texts by it, and knows no id.
                "eos_token": special.get("eos_token") or _first(tokenizer),
                "eos_token_ids": sorted(tokenizer.end_tokens),
                "bos_token": special.get("bos_token"),
                "pad_token": special.get("pad_token"),
                "chat_template": tokenizer.chat_template,
            }
        finally:
            lease.release()

    return router


def _first(tokenizer: Tokenizer) -> str | None:
    """The end token with the lowest id, where the checkpoint calls none by this name."""
    return tokenizer.fast.id_to_token(min(tokenizer.end_tokens)) if tokenizer.end_tokens else None


def _named(service: Service, model: str | None) -> str:
    if model is not None:
        return model
    names = service.registry.names
    if len(names) == 1:
        return names[0]
    raise refused(400, f"model is missing, and required: there are {', '.join(names)}", "model")


def _chat(model: str, body: TokenizeRequest | TemplateRequest) -> ChatCall:
    request = ChatRequest.model_construct(
        model=model,
        messages=body.messages or [],
        tools=body.tools,
        add_generation_prompt=body.add_generation_prompt,
        chat_template=body.chat_template,
        chat_template_kwargs=body.chat_template_kwargs,
    )
    return request.read()
