"""guidellm, as somebody runs it from a shell: chats of given lengths, and the report that it writes."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import honed
from asked_models import KEY
from chatty_model import with_template
from running_server import RunningServer

pytestmark = pytest.mark.thorough
REQUESTS = 6


def test_a_run_of_chats(tiny_llama: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("guidellm") is None:
        pytest.skip("guidellm is not installed")
    directory, report = with_template(tiny_llama, tmp_path / "model"), tmp_path / "report.json"
    with RunningServer({"x": lambda: honed.load(directory)}, api_keys=(KEY,)) as server:
        words = [sys.executable, "-m", "guidellm", "run", "--disable-console-interactive"]
        words += ["--backend", f"kind=openai_http,target={server.url},model=x,api_key={KEY}"]
        words += ["--profile", "kind=concurrent,streams=2", "--constraint", f"kind=max_requests,count={REQUESTS}"]
        words += ["--tokenizer", f"kind=hf_auto,model={directory}"]
        words += ["--data", "kind=synthetic_text,prompt_tokens=20,output_tokens=8"]
        # It would make thousands of texts before the first request.
        words += ["--data-loader", "kind=pytorch,samples=8,prefetch_factor=1"]
        words += ["--output", f"kind=json,path={report}"]
        environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
    totals = json.loads(report.read_text())["benchmarks"][0]["metrics"]["request_totals"]
    assert (totals["successful"], totals["errored"]) == (REQUESTS, 0)
