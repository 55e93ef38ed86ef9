"""What /v1/chat/completions takes, and the `ChatCall` that it means."""

from __future__ import annotations

import logging
from typing import Annotated, Any, Literal

from pydantic import Field

from honed.errors import quoted
from honed.server.errors import refused
from honed.server.exchange import ChatCall, Tool
from honed.server.fields import refuse_unsupported
from honed.server.openai.fields import MOST_TOKENS, Sampled, TextFormat
from honed.server.openai.messages import ChatMessage, NamedTool, ToolDefinition

LOG = logging.getLogger("honed.server")
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "audio": (),
    "modalities": (["text"], []),
    "web_search_options": (),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "documents": ([],),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
}
_REMEDIES = {
    "functions": "use tools",
    "function_call": "use tool_choice",
    "modalities": "this server makes text",
    "best_of": "use n",
    "echo": "use /v1/completions",
    "suffix": "use /v1/completions",
}
MOST_MESSAGES = 16384
MOST_TOOLS = 1024


class ChatRequest(Sampled):
    """A chat; the reply is the next message of the assistant."""

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MOST_MESSAGES)]
    max_tokens: Annotated[int | None, Field(ge=1, le=MOST_TOKENS)] = None
    max_completion_tokens: Annotated[int | None, Field(ge=1, le=MOST_TOKENS)] = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int | None, Field(ge=0, le=20)] = None
    response_format: TextFormat | None = None
    tools: Annotated[list[ToolDefinition] | None, Field(max_length=MOST_TOOLS)] = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None
    chat_template: Annotated[str | None, Field(max_length=1 << 20)] = None
    chat_template_kwargs: dict[str, Any] | None = None
    store: bool | None = None
    metadata: dict[str, Any] | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None

    def read(self) -> ChatCall:
        """The call. What does not go together: RequestError 400."""
        self.check()
        refuse_unsupported(self, _NEUTRAL, _REMEDIES)
        most = self._most_tokens()
        if self.min_tokens is not None and most is not None and self.min_tokens > most:
            raise refused(400, f"min_tokens = {self.min_tokens}: must be at most max_tokens, {most}", "min_tokens")
        if self.top_logprobs and not self.logprobs:
            raise refused(400, "top_logprobs needs logprobs: set it to true", "top_logprobs")
        tools = self._tools()
        forced, choice = self._choice(tools)
        grammar = self.grammar()
        asked = None if self.response_format is None else self.response_format.read()
        if grammar is not None and asked is not None:
            raise refused(400, f"{grammar.parameter} and response_format: give one of them", grammar.parameter)
        variables = dict(self.chat_template_kwargs or {})
        if self.reasoning_effort is not None:
            variables.setdefault("reasoning_effort", self.reasoning_effort)
            if self.reasoning_effort == "none":
                variables.setdefault("enable_thinking", False)
        return ChatCall(
            **self.common(),
            max_tokens=most,
            logprobs=(self.top_logprobs or 0) if self.logprobs else None,
            grammar=grammar or asked,
            messages=[message.read(index) for index, message in enumerate(self.messages)],
            tools=tools,
            tool_choice=choice,
            forced_tool=forced,
            parallel_tool_calls=self.parallel_tool_calls is not False,
            template_variables=variables,
            template=self.chat_template,
            add_generation_prompt=self.add_generation_prompt is not False,
        )

    def _most_tokens(self) -> int | None:
        given = {self.max_tokens, self.max_completion_tokens} - {None}
        if len(given) > 1:
            raise refused(
                400,
                f"max_completion_tokens = {self.max_completion_tokens} and max_tokens = {self.max_tokens}: they are "
                "the same, give one of them",
                "max_completion_tokens",
            )
        return next(iter(given), None)

    def _tools(self) -> tuple[Tool, ...]:
        found: dict[str, Tool] = {}
        for number, tool in enumerate(self.tools or ()):
            if tool.type != "function":
                LOG.warning("a tool of type %s is not known, and skipped", quoted(tool.type))
                continue
            function = tool.function
            if function is None:
                raise refused(400, f"tools[{number}].function is missing, and required", f"tools[{number}].function")
            if function.name in found:
                raise refused(
                    400, f"tools[{number}].function.name = {quoted(function.name)}: stands there twice", "tools"
                )
            found[function.name] = Tool(
                name=function.name,
                description=function.description,
                parameters=function.parameters or {},
                strict=bool(function.strict),
            )
        return tuple(found.values())

    def _choice(self, tools: tuple[Tool, ...]) -> tuple[str | None, Literal["none", "auto", "required"]]:
        if isinstance(self.tool_choice, NamedTool):
            name = self.tool_choice.function.name
            if name not in {tool.name for tool in tools}:
                raise refused(400, f"tool_choice = {quoted(name)}: there is no such tool in tools", "tool_choice")
            return name, "required"
        choice = self.tool_choice or "auto"
        if choice == "required" and not tools:
            raise refused(400, "tool_choice = 'required': there is no function in tools", "tool_choice")
        return None, choice
