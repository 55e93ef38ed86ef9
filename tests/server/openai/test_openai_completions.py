"""POST /v1/completions over a real connection."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from running_server import RunningServer
from scripted_model import scripted_model

REPLIES = {"The quick brown fox": " jumps over the lazy dog", "def f(x):": " return x + 1"}
PROMPTS = list(REPLIES)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with RunningServer({"scripted": lambda: scripted_model(REPLIES)[0]}) as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{server.url}/v1", api_key="unused-key", max_retries=0, _strict_response_validation=True
    ) as made:
        yield made


def ask(server: RunningServer, **body: Any) -> Any:
    with server.client() as http:
        reply = http.post("/v1/completions", json={"model": "scripted", "temperature": 0, **body})
    assert reply.status_code == 200, reply.text
    return reply.json()


def stream(server: RunningServer, **body: Any) -> list[dict[str, Any]]:
    body = {"model": "scripted", "temperature": 0, "stream": True, **body}
    with server.client() as http, http.stream("POST", "/v1/completions", json=body) as reply:
        lines = [line for line in reply.iter_lines() if line.startswith("data: ")]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def test_whole_and_streamed(client: openai.OpenAI) -> None:
    # The types of the client know no chunk without a finish reason, which OpenAI's own streams have.
    lenient = openai.OpenAI(base_url=client.base_url, api_key="unused-key", max_retries=0)
    for prompt, reply in REPLIES.items():
        whole = client.completions.create(model="scripted", prompt=prompt, temperature=0, max_tokens=50)
        assert whole.choices[0].text == reply
        assert whole.choices[0].finish_reason == "stop"
        chunks = lenient.completions.create(model="scripted", prompt=prompt, temperature=0, max_tokens=50, stream=True)
        assert "".join(chunk.choices[0].text for chunk in chunks) == reply


def test_sixteen_tokens_unless_told(server: RunningServer) -> None:
    document = ask(server, prompt=PROMPTS[0], ignore_eos=True)
    assert document["usage"]["completion_tokens"] == 16
    assert document["choices"][0]["finish_reason"] == "length"


def test_kinds_of_prompts(server: RunningServer) -> None:
    with server.client() as http:
        ids = [
            http.post("/tokenize", json={"model": "scripted", "prompt": prompt}).json()["tokens"] for prompt in PROMPTS
        ]
    expected = [REPLIES[prompt] for prompt in PROMPTS]
    for prompt in (PROMPTS, ids):
        document = ask(server, prompt=prompt, max_tokens=50)
        assert [choice["text"] for choice in document["choices"]] == expected
        assert document["usage"]["prompt_tokens"] == sum(map(len, ids))
    assert ask(server, prompt=ids[1], max_tokens=50)["choices"][0]["text"] == expected[1]


def test_choices_are_numbered_by_prompt_first(server: RunningServer) -> None:
    document = ask(server, prompt=PROMPTS, n=2, max_tokens=50)
    assert [choice["index"] for choice in document["choices"]] == [0, 1, 2, 3]
    assert [choice["text"] for choice in document["choices"]] == [REPLIES[PROMPTS[i // 2]] for i in range(4)]
    texts = ["", "", "", ""]
    for chunk in stream(server, prompt=PROMPTS, n=2, max_tokens=50):
        texts[chunk["choices"][0]["index"]] += chunk["choices"][0]["text"]
    assert texts == [choice["text"] for choice in document["choices"]]


def test_the_best_of_several(server: RunningServer) -> None:
    document = ask(server, prompt=PROMPTS[0], n=1, best_of=3, max_tokens=50, temperature=2, seed=5)
    assert len(document["choices"]) == 1
    assert document["choices"][0]["logprobs"] is None


@pytest.mark.parametrize("max_tokens", [0, 1, 5])
def test_echo_with_logprobs(server: RunningServer, max_tokens: int) -> None:
    """What lm-eval reads."""
    asked: dict[str, Any] = {"prompt": PROMPTS[0], "echo": True, "max_tokens": max_tokens, "logprobs": 1}
    document = ask(server, **asked)
    choice = document["choices"][0]
    logprobs = choice["logprobs"]
    assert choice["text"].startswith(PROMPTS[0])
    assert "".join(logprobs["tokens"]) == choice["text"]
    assert logprobs["token_logprobs"][0] is None
    assert logprobs["top_logprobs"][0] is None
    assert all(value <= 0 for value in logprobs["token_logprobs"][1:])
    assert len(logprobs["tokens"]) == document["usage"]["prompt_tokens"] + max_tokens
    for token, offset in zip(logprobs["tokens"], logprobs["text_offset"], strict=True):
        assert choice["text"][offset : offset + len(token)] == token
    for token, value, top in zip(
        logprobs["tokens"][1:], logprobs["token_logprobs"][1:], logprobs["top_logprobs"][1:], strict=True
    ):
        assert top[token] == value
        assert max(top.values()) >= value
    found: dict[str, list[Any]] = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
    for chunk in stream(server, **asked):
        for name, values in (chunk["choices"][0]["logprobs"] or {}).items():
            found[name] += values
    assert found == logprobs


def test_echo_alone(server: RunningServer) -> None:
    assert ask(server, prompt=PROMPTS[0], echo=True, max_tokens=50)["choices"][0]["text"] == "".join(
        [PROMPTS[0], REPLIES[PROMPTS[0]]]
    )


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": [1, "x"]}, "prompt"),
        ({"prompt": {}}, "prompt"),
        ({"prompt": [10**6]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"logprobs": 6}, "logprobs"),
        ({"n": 3, "best_of": 2}, "best_of"),
        ({"n": 1, "best_of": 2, "stream": True}, "best_of"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"suffix": "end"}, "suffix"),
        ({"logit_bias": {"999999": 1}}, "logit_bias"),
    ],
)
def test_what_is_wrong_is_named(server: RunningServer, body: dict[str, Any], parameter: str) -> None:
    with server.client() as http:
        reply = http.post("/v1/completions", json={"model": "scripted", "prompt": "x", **body})
    assert reply.status_code == 400, reply.text
    assert reply.json()["error"]["param"] == parameter
