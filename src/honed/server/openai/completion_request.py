"""What /v1/completions takes, and the `TextCall`s that it means: one a prompt."""

from __future__ import annotations

from typing import Annotated, Any, cast

from pydantic import Field

from honed.server.errors import refused
from honed.server.exchange import TextCall
from honed.server.fields import refuse_unsupported
from honed.server.openai.fields import Sampled, TextFormat

DEFAULT_MAX_TOKENS = 16
"""OpenAI's, for this route."""
MOST_PROMPTS = 1024
MOST_CHOICES = 1024
_NEUTRAL: dict[str, tuple[Any, ...]] = {"tools": ([],), "messages": ([],), "input": ()}
_REMEDIES = {"tools": "use /v1/chat/completions", "messages": "use /v1/chat/completions", "input": "use prompt"}


class CompletionRequest(Sampled):
    """Text to go on with: a text or its token ids, or a list of either."""

    prompt: str | list[str] | list[int] | list[list[int]]
    suffix: str | None = None
    echo: bool | None = None
    logprobs: Annotated[int | None, Field(ge=0, le=5)] = None
    best_of: Annotated[int | None, Field(ge=1, le=128)] = None
    add_special_tokens: bool | None = None
    response_format: TextFormat | None = None

    def read(self) -> list[TextCall]:
        """A call for each prompt. What does not go together: RequestError 400."""
        self.check()
        refuse_unsupported(self, _NEUTRAL, _REMEDIES)
        n = self.n or 1
        if self.best_of is not None:
            if self.best_of < n:
                raise refused(400, f"best_of = {self.best_of}: must be at least n, which is {n}", "best_of")
            if self.stream and self.best_of > n:
                raise refused(400, f"best_of = {self.best_of}: cannot be streamed unless it is n", "best_of")
        if self.echo and self.suffix is not None:
            raise refused(400, "echo and suffix: give one of them", "echo")
        most = DEFAULT_MAX_TOKENS if self.max_tokens is None else self.max_tokens
        if self.min_tokens is not None and self.min_tokens > most:
            raise refused(400, f"min_tokens = {self.min_tokens}: must be at most max_tokens, {most}", "min_tokens")
        if most == 0 and not self.echo:
            raise refused(400, "max_tokens = 0: needs echo, there is nothing to return otherwise", "max_tokens")
        prompts = self._prompts()
        drawn = max(self.best_of or 1, n)
        if len(prompts) * drawn > MOST_CHOICES:
            raise refused(
                400, f"prompt: {len(prompts)} prompts of {drawn} choices are over the {MOST_CHOICES} of one request"
            )
        grammar = self.grammar()
        asked = None if self.response_format is None else self.response_format.read()
        if grammar is not None and asked is not None:
            raise refused(400, f"{grammar.parameter} and response_format: give one of them", grammar.parameter)
        logprobs = self.logprobs
        if drawn > n and logprobs is None:
            logprobs = 0  # the best are told by them
        common = {**self.common(), "n": drawn}
        return [
            TextCall(
                **common,
                prompt=prompt,
                max_tokens=most,
                logprobs=logprobs,
                grammar=grammar or asked,
                suffix=self.suffix or None,
                echo=bool(self.echo),
                prompt_logprobs=self.logprobs if self.echo else None,
                add_special_tokens=self.add_special_tokens is not False,
            )
            for prompt in prompts
        ]

    def _prompts(self) -> list[str | tuple[int, ...]]:
        given = self.prompt
        if isinstance(given, str):
            found: list[str | tuple[int, ...]] = [given]
        elif given and isinstance(given[0], int):
            found = [tuple(given)]
        else:
            rows = cast("list[str] | list[list[int]]", given)
            found = [item if isinstance(item, str) else tuple(item) for item in rows]
        if not found:
            raise refused(400, "prompt = []: must hold at least one prompt", "prompt")
        if len(found) > MOST_PROMPTS:
            raise refused(400, f"prompt: {len(found)} prompts, over the {MOST_PROMPTS} of one request", "prompt")
        for number, prompt in enumerate(found):
            if not prompt:
                raise refused(400, f"prompt[{number}] is empty: must hold at least one token", "prompt")
        return found
