"""`honed serve`: its options, and the whole of it in a process of its own."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from chatty_model import with_template
from honed.cli.main import main


@pytest.fixture(scope="module")
def chatty(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_template(tiny_llama, tmp_path_factory.mktemp("served") / "tiny")


@contextlib.contextmanager
def serving(*words: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, and its address, once it listens."""
    command = [sys.executable, "-m", "honed.cli.main", "serve", *map(str, words), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if found := re.search(r"listening on (\S+)", line):
                    yield process, found[1]
                    break
                assert "WARNING" in line, line
            else:
                raise AssertionError("it does not listen")
        finally:
            process.kill()


def until_loaded(http: httpx.Client) -> None:
    for _ in range(600):
        if http.get("/v1/models").json()["data"][0]["loaded"]:
            return
        time.sleep(0.1)
    raise AssertionError("the model is not loaded")


def test_a_model_is_served_until_a_signal(chatty: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text("first-key-1\n\nsecond-key-2\n")
    with (
        serving(f"tiny={chatty}", "--api-key-file", keys, "--log-json", "--threads", 1) as (process, url),
        httpx.Client(base_url=url, timeout=60, trust_env=False) as http,
    ):
        assert http.get("/v1/models").status_code == 401
        http.headers["authorization"] = "Bearer second-key-2"
        until_loaded(http)
        body = {"model": "tiny", "messages": [{"role": "user", "content": "the cat\n{\u202e}"}], "max_tokens": 4}
        reply = http.post("/v1/chat/completions", json=body)
        assert reply.status_code == 200, reply.text
        assert reply.json()["usage"]["completion_tokens"] <= 4
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert process.stderr is not None
        lines = [json.loads(line) for line in process.stderr if line.startswith("{")]
        asked = [line for line in lines if line.get("path") == "/v1/chat/completions"]
        assert asked[0]["request_id"] == reply.headers["x-request-id"]
        assert asked[0]["status"] == 200
        assert "the cat" not in json.dumps(lines)
        assert "second-key-2" not in json.dumps(lines)


def test_a_draft_guesses_for_the_first_model_and_changes_no_reply(chatty: Path) -> None:
    body = {"model": "tiny", "prompt": "the cat", "max_tokens": 12, "temperature": 0, "ignore_eos": True}
    texts = []
    for words in ([], ["--draft", chatty, "--step-time", "0.02"], ["--speculation", "off"]):
        with (
            serving(f"tiny={chatty}", "--threads", 1, *words) as (_, url),
            httpx.Client(base_url=url, timeout=60, trust_env=False) as http,
        ):
            until_loaded(http)
            texts.append(http.post("/v1/completions", json=body).json()["choices"][0]["text"])
    assert texts[0]
    assert set(texts) == {texts[0]}


def test_another_address_without_a_key_is_warned_of(chatty: Path) -> None:
    command = [sys.executable, "-m", "honed.cli.main", "serve", str(chatty), "--host", "0.0.0.0", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        process.kill()
    assert "WARNING" in first
    assert "--api-key" in first


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--port", "70000"], "port"),
        (["--api-key", "short"], "api_key"),
        (["--tls-cert", "/no/such.pem"], "tls_cert"),
        (["--max-body", "much"], "max_body"),
        (["--memory-limit", "-1"], "memory_limit"),
        (["--cors-origin", "page"], "cors_origin"),
        (["--api-key-file", "/no/such.txt"], "api_key_file"),
        (["--idle-unload", "0"], "idle_unload"),
        (["--sequences", "2"], "sequences"),
        (["--step-time", "-1"], "step_seconds"),
        (["--speculation", "often"], "speculation"),
    ],
)
def test_wrong_options(
    words: list[str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["honed", "serve", "smollm2", *words])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    assert told in capsys.readouterr().err


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.setattr("sys.argv", ["honed", "serve", "smollm2"])
    with pytest.raises(SystemExit):
        main()
    assert "honed[serve]" in capsys.readouterr().err


def test_a_port_in_use_is_told(chatty: Path) -> None:
    with serving(chatty) as (_, url):
        port = url.rpartition(":")[2]
        command = [sys.executable, "-m", "honed.cli.main", "serve", str(chatty), "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert f"{port} cannot be listened on" in done.stderr


def test_a_model_that_is_none_ends_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "honed.cli.main", "serve", str(tmp_path / "none"), "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "is not a model" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
