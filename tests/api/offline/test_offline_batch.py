from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from honed.api.offline.batch import answered, batch_line, check_batch_output, is_batch, request_of
from honed.errors import ParameterError

LINE = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": []}}


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.jsonl", json.dumps(LINE), True),
        ("a.jsonl", f"not json\n\n{json.dumps(LINE)}", True),
        ("a.jsonl", json.dumps({**LINE, "more": 1}), True),
        ("a.jsonl", json.dumps({"prompt": "x", "custom_id": "a"}), False),
        ("a.jsonl", "", False),
        ("a.jsonl", "not json", False),
        ("a.txt", json.dumps(LINE), False),
        ("a.csv", "custom_id,method,url,body\na,POST,/v1/x,{}\n", False),
    ],
)
def test_a_batch_file_is_told_by_its_fields(tmp_path: Path, name: str, text: str, expected: bool) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert is_batch(path) is expected


def test_a_body_without_a_model_asks_the_one_there_is() -> None:
    assert request_of(LINE, "other").body["model"] == "m"
    for body in ({}, {"model": None}):
        found = request_of({**LINE, "body": body}, "other")
        assert (found.path, found.body) == ("/v1/chat/completions", {"model": "other"})


@pytest.mark.parametrize(
    ("name", "value", "parameter"),
    [
        ("custom_id", 3, "custom_id"),
        ("custom_id", "", "custom_id"),
        ("method", "GET", "method"),
        ("url", "/metrics", "url"),
        ("url", "http://127.0.0.1/v1/models", "url"),
        ("url", "/v1/ü", "url"),
        ("url", None, "url"),
        ("body", [], "body"),
        ("body", {"stream": True}, "body.stream"),
    ],
)
def test_what_is_wrong_with_a_line_is_named(name: str, value: Any, parameter: str) -> None:
    with pytest.raises(ParameterError) as found:
        request_of({**LINE, name: value}, "m")
    assert found.value.parameter == parameter


def test_lines_of_the_output_have_openai_s_shape() -> None:
    good = answered(200, "req_1", {"usage": {"completion_tokens": 3}})
    bad = answered(400, "req_2", {"error": {"message": "x"}})
    assert good["completion_tokens"] == 3
    assert "error" not in good
    assert bad["error"]
    for result, status in ((good, 200), (bad, 400)):
        line = batch_line(LINE, result)
        assert line["id"].startswith("batch_req_")
        assert line["response"] == {
            "status_code": status,
            "request_id": result["request_id"],
            "body": result["body"],
        }
        assert (list(line), line["custom_id"], line["error"]) == (["id", "custom_id", "response", "error"], "a", None)
    line = batch_line({}, {"error": "line 2: is not JSON"})
    assert (line["custom_id"], line["response"]) == (None, None)
    assert line["error"] == {"code": "invalid_line", "message": "line 2: is not JSON"}


def test_the_output_is_a_file_of_lines() -> None:
    check_batch_output(Path("a.jsonl"))
    with pytest.raises(ParameterError, match=r"must end with \.jsonl"):
        check_batch_output(Path("a.csv"))
