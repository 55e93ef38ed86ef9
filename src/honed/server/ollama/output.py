"""The state of a reply in Ollama's form, and the lines that tell of it. Refusals too.

Calls of tools come whole, as the API has them. Not here: bytes of a whole reply, which the routes write.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

from honed.server.arguments import Arguments
from honed.server.errors import Fault
from honed.server.exchange import (
    Admitted,
    Delta,
    Ended,
    Quiet,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCallBegun,
    ToolCallDelta,
)
from honed.server.fields import compact
from honed.server.frames import line
from honed.server.openai.logprobs import chat_logprobs
from honed.server.request_body import Object

Kind = Literal["chat", "generate"]
NDJSON = "application/x-ndjson"


class Output:
    """One reply; `take` for each delta."""

    def __init__(self, model: str, kind: Kind, *, clock: Callable[[], int] = time.perf_counter_ns) -> None:
        self._model = model
        self._kind = kind
        self._clock = clock
        self._started = self._loaded = clock()
        self._first: int | None = None
        self._call: tuple[int, str, Arguments] | None = None
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._calls: list[Object] = []
        self._logprobs: list[Object] = []
        self.last: Object = {}
        """The last line, once it is there."""

    def begin(self) -> None:
        """The model is loaded, and computes from now on."""
        self._loaded = self._clock()

    @property
    def whole(self) -> Object:
        """All of the reply, once it has ended."""
        said = self._said("".join(self._texts), "".join(self._thoughts), self._calls)
        return {**self.last, **said, **({"logprobs": self._logprobs} if self._logprobs else {})}

    def take(self, delta: Delta) -> list[Object]:
        """The lines that a delta leads to."""
        match delta:
            case TextDelta() if delta.text or delta.tokens:
                lines = self._close()
                self._note_first()
                self._texts.append(delta.text)
                return [*lines, self._line(self._said(delta.text), delta.tokens)]
            case ReasoningDelta() if delta.text or delta.tokens:
                lines = self._close()
                self._note_first()
                self._thoughts.append(delta.text)
                return [*lines, self._line(self._said("", delta.text), delta.tokens)]
            case ToolCallBegun():
                lines = self._close()
                self._call = (delta.number, delta.name, Arguments())
                self._note_first()
                return lines
            case ToolCallDelta():
                if self._call is not None:
                    self._call[2].add(delta.arguments)
            case Ended():
                return [*self._close(), self._end(delta)]
            case Quiet(comment=False):
                return [self._line(self._said(""))]
            case Admitted() | Quiet() | TextDelta() | ReasoningDelta():
                pass
        return []

    def _note_first(self) -> None:
        if self._first is None:
            self._first = self._clock()

    def _said(self, text: str, thinking: str = "", calls: list[Object] | None = None) -> Object:
        """What a line says, in the place that it has in this kind of reply."""
        more: Object = {"thinking": thinking} if thinking else {}
        if calls:
            more["tool_calls"] = calls
        if self._kind == "generate":
            return {"response": text, **more}
        return {"message": {"role": "assistant", "content": text, **more}}

    def _line(self, said: Object, tokens: tuple[TokenLogprob, ...] = ()) -> Object:
        head = {"model": self._model, "created_at": now()}
        logprobs = chat_logprobs(tokens)["content"]
        self._logprobs += logprobs
        return {**head, **said, "done": False, **({"logprobs": logprobs} if logprobs else {})}

    def _close(self) -> list[Object]:
        """The line of the call that is being written."""
        if self._call is None:
            return []
        number, name, arguments = self._call
        self._call = None
        call = {"function": {"index": number, "name": name, "arguments": arguments.value}}
        self._calls.append(call)
        return [self._line(self._said("", calls=[call]))]

    def _end(self, ended: Ended) -> Object:
        end = self._clock()
        first = end if self._first is None else self._first
        self.last = {
            "model": self._model,
            "created_at": now(),
            **self._said(""),
            "done": True,
            "done_reason": "length" if ended.reason == "length" else "stop",
            "total_duration": end - self._started,
            "load_duration": self._loaded - self._started,
            "prompt_eval_count": ended.usage.prompt,
            "prompt_eval_duration": first - self._loaded,
            "eval_count": ended.usage.completion,
            "eval_duration": end - first,
        }
        return self.last


class OllamaWriter:
    """Writes the lines of an `Output`. There is no comment among lines: a client reads each as JSON."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def write(self, delta: Delta) -> bytes:
        """See `writer.Writer`."""
        return b"".join(line(one) for one in self._output.take(delta))

    def fail(self, fault: Fault) -> bytes:
        """See `writer.Writer`."""
        return line({"error": fault.message})


def ollama_error(fault: Fault) -> bytes:
    """The body of a refusal: {"error": text}."""
    return compact({"error": fault.message}).encode()


def now() -> str:
    """The time as the API has it."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
