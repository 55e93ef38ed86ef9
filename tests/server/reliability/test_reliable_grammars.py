"""Item 20: grammars that are meant to hurt are refused in bounded time, and many different ones in bounded memory."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from honed.bench.load.process import holdings
from honed.text.grammar import CACHED_GROWING, GrammarCompiler
from scripted_server import chat, completion, scripted_server
from turn_tokenizers import CHATML, byte_level, turns

MIB = 1 << 20


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    return schema


CYCLE = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}
SCHEMAS: dict[str, Any] = {
    "deep": deep(120),
    "cycle of references": CYCLE,
    "a reference elsewhere": {"$ref": "https://example.org/schema.json"},
    "a file": {"$ref": "file:///etc/passwd"},
    "no type": {"type": "cat"},
    "types of numbers": {"type": [1, 2]},
    "wide": {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(6000)}},
    "repeated": {"type": "string", "pattern": "^(a{1,1000000000})$"},
    "multiples": {"type": "integer", "multipleOf": 99_991_999},
    "a contradiction": {"type": "integer", "minimum": 5, "maximum": 4},
    "enum of nothing": {"enum": []},
    "not": {"not": {"type": "string"}},
}


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with scripted_server() as (server, _), server.client() as client:
        yield client


@pytest.mark.parametrize("name", SCHEMAS)
def test_20_schemas_that_are_bombs(http: httpx.Client, name: str) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMAS[name]}}
    began = time.perf_counter()
    reply = http.post("/v1/chat/completions", json=chat(response_format=form, max_tokens=4))
    assert reply.status_code == 400, reply.text[:300]
    assert time.perf_counter() - began < 5
    assert len(reply.json()["error"]["message"]) < 1000


@pytest.mark.parametrize(
    "regex", ["(a+)+$", "(a*)*b", "a{1,1000000000}", "(((((a{99}){99}){99}){99}){99})", "(", "a" * 99999]
)
def test_20_regular_expressions_that_are_bombs(http: httpx.Client, regex: str) -> None:
    began = time.perf_counter()
    reply = http.post("/v1/completions", json=completion(guided_regex=regex, max_tokens=4))
    # Automata do not backtrack, so that the first two are as good as any.
    assert reply.status_code == (200 if regex in ("(a+)+$", "(a*)*b") else 400), reply.text[:300]
    assert time.perf_counter() - began < 5


def test_20_one_that_grows_ends_its_request_alone(http: httpx.Client) -> None:
    bomb = completion(guided_regex="(.*[a-m].{22}){1,50}", max_tokens=600, temperature=1, seed=3, ignore_eos=True)
    began = time.perf_counter()
    reply = http.post("/v1/completions", json=bomb)
    assert time.perf_counter() - began < 30
    assert reply.status_code in (200, 400)
    if reply.status_code == 400:
        assert "too complex" in reply.json()["error"]["message"]
    assert http.post("/v1/chat/completions", json=chat()).json()["choices"][0]["message"]["content"] == "Hello!"


def test_20_a_body_of_nested_lists_is_refused(http: httpx.Client) -> None:
    body = '{"model": "scripted", "messages": ' + "[" * 100_000 + "]" * 100_000 + "}"
    reply = http.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})
    assert reply.status_code == 400


@pytest.mark.parametrize("count", [800, pytest.param(9800, marks=pytest.mark.thorough)])
def test_20_thousands_of_schemas_leave_memory_bounded(count: int) -> None:
    tokenizer = turns(byte_level(), CHATML)
    compiler = GrammarCompiler(tokenizer, tokenizer.size)

    def compile_some(first: int, count: int) -> None:
        for number in range(first, first + count):
            schema = {"const": f"v{number}"}
            matcher = compiler.compile("json_schema", json.dumps(schema)).matcher()
            matcher.masks([])

    compile_some(0, 200)
    before = holdings(os.getpid()).resident
    compile_some(200, count)
    assert holdings(os.getpid()).resident - before < 32 * MIB


def test_20_few_of_those_that_grow_are_kept() -> None:
    tokenizer = turns(byte_level(), CHATML)
    compiler = GrammarCompiler(tokenizer, tokenizer.size)
    plain = compiler.compile("json_schema", '{"type": "integer"}')
    growing = [compiler.compile("regex", f"a{{1,{number}}}") for number in range(3, 30)]
    assert all(grammar.grows for grammar in growing)
    assert not plain.grows
    assert compiler.compile("json_schema", '{"type": "integer"}') is plain
    kept = [compiler.compile("regex", f"a{{1,{number}}}") is growing[number - 3] for number in (29, 28, 27)]
    assert all(kept)
    assert compiler.compile("regex", f"a{{1,{29 - CACHED_GROWING}}}") is not growing[26 - CACHED_GROWING]
