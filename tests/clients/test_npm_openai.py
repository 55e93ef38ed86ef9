"""The npm package `openai`, which needs node and npm: chat, streams, tools, Responses, embeddings."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from asked_models import ARGUMENTS, KEY, REPLIES, THOUGHT, TOOL, asked_server
from running_server import RunningServer

pytestmark = pytest.mark.thorough
PROGRAM = """
import OpenAI from "openai";
const [url, key, tool] = process.argv.slice(2);
const client = new OpenAI({ baseURL: url, apiKey: key, maxRetries: 0 });
const said = (content) => [{ role: "user", content }];
const tools = [JSON.parse(tool)];
const told = {};
told.whole = (await client.chat.completions.create({ model: "m", messages: said("bytes"), temperature: 0 }))
  .choices[0].message.content;
told.streamed = "";
for await (const chunk of await client.chat.completions.create(
  { model: "m", messages: said("bytes"), temperature: 0, stream: true, stream_options: { include_usage: true } })) {
  told.streamed += chunk.choices[0]?.delta?.content ?? "";
  if (chunk.usage) told.tokens = chunk.usage.completion_tokens;
}
const runner = client.chat.completions.stream({ model: "m", messages: said("twice"), temperature: 0, tools });
told.calls = (await runner.finalChatCompletion()).choices[0].message.tool_calls.map((call) => call.function.arguments);
told.thought = (await client.chat.completions.create({ model: "t", messages: said("think"), temperature: 0 }))
  .choices[0].message.reasoning_content;
told.response = (await client.responses.create({ model: "m", input: "hello", temperature: 0 })).output_text;
const events = client.responses.stream({ model: "m", input: "hello", temperature: 0 });
told.responseStreamed = (await events.finalResponse()).output_text;
const vectors = await client.embeddings.create({ model: "e", input: ["a b", "c"] });
told.widths = vectors.data.map((one) => one.embedding.length);
told.models = (await client.models.list()).data.map((model) => model.id);
try { await client.chat.completions.create({ model: "other", messages: said("x") }); }
catch (error) { told.error = [error instanceof OpenAI.NotFoundError, error.status, error.code]; }
console.log(JSON.stringify(told));
"""


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with asked_server() as running:
        yield running


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the package; skipped only where node or the registry cannot be had."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed")
    directory = tmp_path_factory.mktemp("npm")
    words = [npm, "install", "--silent", "--no-audit", "--no-fund", "openai"]
    done = subprocess.run(words, cwd=directory, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        pytest.skip(f"the package openai cannot be had here: {done.stderr[-200:]}")
    (directory / "program.mjs").write_text(PROGRAM)
    return directory


def test_the_package_reads_every_reply(server: RunningServer, package: Path) -> None:
    words = ["node", "program.mjs", f"{server.url}/v1", KEY, json.dumps(TOOL)]
    done = subprocess.run(words, cwd=package, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["whole"] == told["streamed"] == REPLIES["bytes"]
    assert told["tokens"] > 0
    assert [json.loads(arguments) for arguments in told["calls"]] == [ARGUMENTS] * 2
    assert told["thought"] == THOUGHT
    assert told["response"] == told["responseStreamed"] == REPLIES["hello"]
    assert told["widths"] == [3, 3]
    assert told["models"] == ["m", "t", "e"]
    assert told["error"] == [True, 404, "model_not_found"]
