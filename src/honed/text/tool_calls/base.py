"""What a format of tool calls offers, and what its parsers say. Interfaces only."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol


class ToolDefinition(Protocol):
    """A function that a model may call. parameters: the JSON schema of its arguments. strict: an unsupported schema is
    refused."""

    @property
    def name(self) -> str: ...
    @property
    def parameters(self) -> Mapping[str, Any]: ...
    @property
    def strict(self) -> bool: ...


@dataclass(frozen=True)
class ForcedTool:
    """The one tool that must be called."""

    name: str


ToolChoice = Literal["auto", "required"] | ForcedTool


@dataclass(frozen=True)
class TextPart:
    """More of the text beside the calls."""

    text: str


@dataclass(frozen=True)
class CallBegun:
    """Call `number` (0, 1, ...) begins."""

    number: int
    name: str


@dataclass(frozen=True)
class CallArguments:
    """More of the arguments of a call: JSON text, as the model wrote it."""

    number: int
    fragment: str


@dataclass(frozen=True)
class CallEnded:
    """The end of a call that began. complete: its arguments are whole."""

    number: int
    complete: bool


CallEvent = TextPart | CallBegun | CallArguments | CallEnded


class CallParser(Protocol):
    """Reads the text of one reply. What it says is the same however the text is cut, once fragments are joined.

    Nothing is lost: what looks like a call and is none comes out as text. White space around calls, and the markers of
    those that are calls, are part of neither.
    """

    def feed(self, text: str) -> list[CallEvent]:
        """What is certain after more text."""

    def finish(self) -> list[CallEvent]:
        """The rest. Nothing may be fed after it."""


class ToolFormat(Protocol):
    """How a family of models writes its calls."""

    @property
    def name(self) -> str: ...

    @property
    def visible(self) -> frozenset[int]:
        """Control tokens that have to be written out in the text, since the parser reads them."""

    def parser(self, names: Collection[str]) -> CallParser:
        """For one reply. names: the tools that there are."""

    def grammar(
        self, names: Sequence[str], schemas: Sequence[Mapping[str, Any]], choice: ToolChoice, *, parallel: bool
    ) -> str:
        """The reply as a Lark grammar: free text and calls (auto), or calls only. schemas: of the arguments of each
        tool, as `checked_schema` gives them. A forced tool that is not among the names: ParameterError."""
