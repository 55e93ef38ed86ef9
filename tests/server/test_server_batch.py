"""Batch files through the routes of the server, and the command that runs them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from chatty_model import with_template
from honed.api.embed import TextEncoder
from honed.api.language_model import LanguageModel
from honed.api.offline.batch import batch_line
from honed.api.offline.run import Job, run_job
from honed.checkpoints.huggingface.sentence_files import SentenceSettings
from honed.errors import MachineError, SourceError
from honed.server.batch import BatchServer
from honed.server.registry import ModelSpec
from known_rows import KnownRows, tokenizer
from scripted_model import scripted_model

REPLIES = {"hello": "Hello! The fox jumps over it.", "long": "over the lazy dog " * 40}


def chat(number: int, text: str = "hello", **body: Any) -> dict[str, Any]:
    asked = {"model": "m", "messages": [{"role": "user", "content": text}], "temperature": 0, **body}
    return {"custom_id": f"request-{number}", "method": "POST", "url": "/v1/chat/completions", "body": asked}


def written(path: Path, lines: list[Any]) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_line_has_its_response_in_its_place(tmp_path: Path) -> None:
    lines: list[Any] = [chat(number) for number in range(20)]
    lines += [
        "nothing",
        chat(21, max_tokens=-1),
        {**chat(22), "url": "/v1/nothing"},
        {**chat(23), "method": "GET"},
        chat(24, model="gpt-4o-mini"),
        {**chat(25), "url": "/v1/responses", "body": {"input": "hello", "temperature": 0}},
    ]
    source = written(tmp_path / "in.jsonl", lines)
    with BatchServer(ModelSpec("m", "m"), lambda _: scripted_model(REPLIES)[0]) as server:
        job = Job(source, tmp_path / "out.jsonl", "batch", {}, together=8)
        found = run_job(job, server.work, stop=server.stop, line=batch_line)
    out = read(tmp_path / "out.jsonl")
    assert (found.rows, found.failed) == (26, 5)
    assert (
        found.tokens
        == sum(line["response"]["body"]["usage"]["completion_tokens"] for line in out[:20])
        + out[25]["response"]["body"]["usage"]["output_tokens"]
    )
    assert [line["custom_id"] for line in out] == [
        None if isinstance(line, str) else line["custom_id"] for line in lines
    ]
    for line in out[:20]:
        whole = ChatCompletion.model_validate(line["response"]["body"])
        assert whole.choices[0].message.content == REPLIES["hello"]
    assert len({line["response"]["request_id"] for line in out[:20]}) == len({line["id"] for line in out[:20]}) == 20
    assert [line["error"] is None for line in out[20:]] == [False, True, True, False, True, True]
    assert [line["response"] and line["response"]["status_code"] for line in out[20:]] == [
        None,
        400,
        404,
        None,
        404,
        200,
    ]
    assert out[21]["response"]["body"]["error"]["param"] == "max_tokens"
    assert Response.model_validate(out[25]["response"]["body"]).output_text == REPLIES["hello"]


def test_vectors(tmp_path: Path) -> None:
    asked = {"custom_id": "e", "method": "POST", "url": "/v1/embeddings", "body": {"model": "m", "input": ["a", "b"]}}
    with BatchServer(
        ModelSpec("m", "m"), lambda _: TextEncoder("e", KnownRows(), tokenizer(), SentenceSettings())
    ) as server:
        found = server.work(0, asked)
    assert found["status"] == 200
    assert len(CreateEmbeddingResponse.model_validate(found["body"]).data) == 2


def test_a_model_that_cannot_be_loaded_says_why_and_nothing_is_left() -> None:
    def missing(source: str) -> Any:
        raise SourceError("/a/path: is not there")

    with pytest.raises(SourceError, match="is not there"), BatchServer(ModelSpec("m", "m"), missing):
        raise AssertionError
    assert not [thread for thread in threading.enumerate() if thread.name == "batch server"]


def test_an_engine_that_fails_ends_the_run_and_no_line_is_given_up(tmp_path: Path) -> None:
    source = written(tmp_path / "in.jsonl", [chat(number) for number in range(4)])
    job = Job(source, tmp_path / "out.jsonl", "batch", {}, together=2)

    def failing(source: str) -> LanguageModel:
        model, backend = scripted_model(REPLIES)
        backend.fail = True
        return model

    with BatchServer(ModelSpec("m", "m"), failing) as server, pytest.raises(MachineError):
        run_job(job, server.work, stop=server.stop, line=batch_line)
    with BatchServer(ModelSpec("m", "m"), lambda _: scripted_model(REPLIES)[0]) as server:
        run_job(job, server.work, stop=server.stop, line=batch_line)
    assert [line["response"]["status_code"] for line in read(job.output)] == [200] * 4


def test_stopping_ends_what_is_under_way() -> None:
    model, backend = scripted_model(REPLIES)
    backend.pause = 0.05
    caught: list[BaseException] = []

    def ask(server: BatchServer) -> None:
        try:
            server.work(0, chat(0, "long"))
        except MachineError as error:
            caught.append(error)

    with BatchServer(ModelSpec("m", "m"), lambda _: model) as server:
        asking = threading.Thread(target=ask, args=(server,))
        asking.start()
        while not backend.steps:
            asking.join(0.01)
        server.stop()
        asking.join(10)
        assert not asking.is_alive()
    assert len(caught) == 1


@pytest.mark.slow
def test_the_command_runs_a_batch_file_and_goes_on_with_it(tiny_llama: Path, tmp_path: Path) -> None:
    model = with_template(tiny_llama, tmp_path / "model")
    lines = [chat(number, "the of and", max_tokens=8, model="mine") for number in range(12)]
    source, target = written(tmp_path / "in.jsonl", lines), tmp_path / "out.jsonl"
    journal = tmp_path / "out.jsonl.partial"
    words = [sys.executable, "-m", "honed.cli.main", "run", f"mine={model}", str(source), "-o", str(target)]

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*words, *more], capture_output=True, text=True, timeout=120, check=False)

    done = run("--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["rows"], told["failed"], told["resumed"]) == (12, 0, 0)
    whole = [line["response"]["body"]["choices"] for line in read(target)]
    assert len(whole) == 12

    # Killed on the way, it goes on with what it has.
    target.unlink()
    process = subprocess.Popen([*words, "--together", "1"], stderr=subprocess.PIPE)
    while process.poll() is None and not (journal.exists() and journal.read_bytes().count(b"\n") > 3):
        pass
    process.kill()
    process.communicate(timeout=60)
    if not target.exists():
        done = run("--json")
        assert json.loads(done.stdout)["resumed"] >= 3
        assert "going on with" in done.stderr
    assert [line["response"]["body"]["choices"] for line in read(target)] == whole
    refused = run("--overwrite", "--max-tokens", "5")
    assert refused.returncode == 2
    assert "batch file" in refused.stderr
