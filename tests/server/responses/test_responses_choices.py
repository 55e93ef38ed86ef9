"""Tools of a response, the choice among them, and the form of its text."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from honed.errors import ParameterError
from honed.server import request_body
from honed.server.exchange import Tool
from honed.server.responses.choices import Tools, grammar_of, tools_of

LOOK: dict[str, Any] = {
    "type": "function",
    "name": "look",
    "parameters": {"type": "object"},
    "strict": True,
    "description": "d",
}
FIND: dict[str, Any] = {"type": "function", "name": "find", "parameters": None, "strict": None}


def test_functions_and_the_choice() -> None:
    look = Tool(name="look", description="d", parameters={"type": "object"}, strict=True)
    find = Tool(name="find")
    assert tools_of(None, None) == Tools()
    assert tools_of([LOOK, FIND], None) == Tools((look, find))
    assert tools_of([LOOK, FIND], "none") == Tools((look, find), "none")
    assert tools_of([LOOK], "required") == Tools((look,), "required")
    assert tools_of([LOOK, FIND], {"type": "function", "name": "find"}) == Tools((look, find), "required", "find")
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "find"}]}
    assert tools_of([LOOK, FIND], allowed) == Tools((find,), "required")


def test_other_tools_are_skipped_with_one_warning(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_body, "_warned", set())
    given: list[dict[str, Any]] = [
        {"type": "local_shell"},
        {"type": "web_search"},
        {"type": "custom", "name": "apply_patch"},
        LOOK,
    ]
    with caplog.at_level(logging.WARNING, "honed.server"):
        for _ in range(2):
            assert [tool.name for tool in tools_of(given, None).functions] == ["look"]
    told = [record.getMessage() for record in caplog.records]
    assert [kind for kind in ("local_shell", "web_search", "custom") if any(kind in text for text in told)] == [
        "local_shell",
        "web_search",
        "custom",
    ]
    assert len(told) == 3


@pytest.mark.parametrize(
    ("tools", "choice", "parameter"),
    [
        ([LOOK], {"type": "function", "name": "other"}, "tool_choice.name"),
        ([LOOK], {"type": "web_search"}, "tool_choice"),
        ([LOOK], "sometimes", "tool_choice"),
        ([], "required", "tool_choice"),
        ([{"type": "web_search"}], "required", "tool_choice"),
        ([{"type": "function"}], None, "tools[0].name"),
        ([{"type": "function", "name": "x", "parameters": 3}], None, "tools[0].parameters"),
        ([{"name": "x"}], None, "tools[0].type"),
        ([3], None, "tools[0]"),
    ],
)
def test_tools_that_are_refused(tools: Any, choice: Any, parameter: str) -> None:
    with pytest.raises(ParameterError) as found:
        tools_of(tools, choice)
    assert found.value.parameter == parameter


def test_forms_of_the_text() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    assert grammar_of(None) is None
    assert grammar_of({"verbosity": "low"}) is None
    assert grammar_of({"format": {"type": "text"}}) is None
    found = grammar_of({"format": {"type": "json_schema", "name": "x", "schema": schema, "strict": True}})
    assert found is not None
    assert (found.kind, json.loads(found.source), found.parameter) == ("json_schema", schema, "text.format.schema")
    anything = grammar_of({"format": {"type": "json_object"}})
    assert anything is not None
    assert anything.kind == "json_object"


@pytest.mark.parametrize(
    ("form", "parameter"),
    [({"type": "xml"}, "text.format.type"), ({"type": "json_schema"}, "text.format.schema"), (3, "text.format")],
)
def test_forms_that_are_refused(form: Any, parameter: str) -> None:
    with pytest.raises(ParameterError) as found:
        grammar_of({"format": form})
    assert found.value.parameter == parameter
