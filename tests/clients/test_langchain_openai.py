"""langchain-openai: its chat model over both APIs, and its embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from asked_models import ARGUMENTS, KEY, REPLIES, SCHEMA, TOOL, asked_server
from foreign_library import foreign
from running_server import RunningServer

pytestmark = [pytest.mark.thorough, pytest.mark.filterwarnings("ignore")]  # its warnings are its own


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with asked_server() as running:
        yield running


@pytest.fixture(scope="module")
def langchain() -> Iterator[Any]:
    with foreign("langchain_openai", LANGSMITH_TRACING="false") as module:
        yield module


@pytest.mark.parametrize("responses", [False, True])
def test_chats_tools_and_schemas(langchain: Any, server: RunningServer, responses: bool) -> None:
    chat = langchain.ChatOpenAI(
        base_url=f"{server.url}/v1", api_key=KEY, model="m", temperature=0, use_responses_api=responses, max_retries=0
    )
    for text in ("hello", "bytes"):
        whole = chat.invoke(text)
        parts = list(chat.stream(text))
        assert whole.text == REPLIES[text]
        assert "".join(part.text for part in parts) == REPLIES[text]
        assert whole.usage_metadata["output_tokens"] > 0
    tools = chat.bind_tools([TOOL])
    called = tools.invoke("call")
    assert [(call["name"], call["args"]) for call in called.tool_calls] == [("look", ARGUMENTS)]
    streamed = None
    for part in tools.stream("call"):
        streamed = part if streamed is None else streamed + part
    assert streamed is not None
    assert [(call["name"], call["args"]) for call in streamed.tool_calls] == [("look", ARGUMENTS)]
    answer = {"role": "tool", "tool_call_id": called.tool_calls[0]["id"], "content": "a fox"}
    again = tools.invoke([("user", "call"), called, answer, ("user", "hello")])
    assert again.text == REPLIES["hello"]
    schema = {"title": "Seen", "description": "What was seen.", **SCHEMA}
    assert chat.with_structured_output(schema, method="json_schema").invoke("object") == ARGUMENTS


def test_vectors_of_texts(langchain: Any, server: RunningServer) -> None:
    made = langchain.OpenAIEmbeddings(
        base_url=f"{server.url}/v1", api_key=KEY, model="e", check_embedding_ctx_length=False, max_retries=0
    )
    found = made.embed_documents(["a b", "c"])
    assert len(found) == 2
    assert made.embed_query("a b") == pytest.approx(found[0])
