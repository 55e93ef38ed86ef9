"""litellm, by each of the APIs that it speaks to servers like this one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from asked_models import ARGUMENTS, KEY, REPLIES, TOOL, asked_server, said
from foreign_library import foreign
from running_server import RunningServer

pytestmark = [pytest.mark.thorough, pytest.mark.filterwarnings("ignore")]  # its warnings are its own


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with asked_server() as running:
        yield running


@pytest.fixture(scope="module")
def litellm() -> Iterator[Any]:
    # Or it asks the network at its start.
    with foreign("litellm", LITELLM_LOCAL_MODEL_COST_MAP="True") as module:
        yield module


def places(server: RunningServer) -> dict[str, dict[str, Any]]:
    return {
        "openai/m": {"api_base": f"{server.url}/v1", "api_key": KEY},
        "hosted_vllm/m": {"api_base": f"{server.url}/v1", "api_key": KEY},
        "anthropic/m": {"api_base": server.url, "api_key": KEY},
        "ollama_chat/m": {"api_base": server.url, "api_key": KEY},
    }


@pytest.mark.parametrize("name", ["openai/m", "hosted_vllm/m", "anthropic/m", "ollama_chat/m"])
def test_chats(litellm: Any, server: RunningServer, name: str) -> None:
    place = places(server)[name]
    for text in ("hello", "bytes"):
        whole = litellm.completion(model=name, messages=said(text), temperature=0, **place)
        assert whole.choices[0].message.content == REPLIES[text]
        assert whole.choices[0].finish_reason == "stop"
        assert whole.usage.completion_tokens > 0
        chunks = list(litellm.completion(model=name, messages=said(text), temperature=0, stream=True, **place))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == REPLIES[text]
        assert chunks[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize("name", ["openai/m", "hosted_vllm/m", "anthropic/m", "ollama_chat/m"])
@pytest.mark.parametrize("stream", [False, True])
def test_tools(litellm: Any, server: RunningServer, name: str, stream: bool) -> None:
    found = litellm.completion(
        model=name, messages=said("call"), temperature=0, tools=[TOOL], stream=stream, **places(server)[name]
    )
    if stream:
        found = litellm.stream_chunk_builder(list(found))
    calls = found.choices[0].message.tool_calls
    assert [(call.function.name, json.loads(call.function.arguments)) for call in calls] == [("look", ARGUMENTS)]


def test_vectors_texts_and_responses(litellm: Any, server: RunningServer) -> None:
    place = places(server)["openai/m"]
    found = litellm.embedding(model="openai/e", input=["a b", "c"], encoding_format="float", **place)
    assert [len(one["embedding"]) for one in found.data] == [3, 3]
    text = litellm.text_completion(
        model="text-completion-openai/m", prompt="The quick", temperature=0, max_tokens=50, **place
    )
    assert text.choices[0].text == REPLIES["The quick"]
    response = litellm.responses(model="openai/m", input="hello", temperature=0, **place)
    assert response.output[0].content[0].text == REPLIES["hello"]


def test_errors_are_of_its_kinds(litellm: Any, server: RunningServer) -> None:
    place = places(server)["openai/m"]
    with pytest.raises(litellm.NotFoundError):
        litellm.completion(model="openai/other", messages=said("hello"), num_retries=0, **place)
    with pytest.raises(litellm.ContextWindowExceededError):
        litellm.completion(model="openai/m", messages=said("x " * 9000), num_retries=0, **place)
