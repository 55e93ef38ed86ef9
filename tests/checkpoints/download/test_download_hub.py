"""Hugging Face ids without a network: one sentence, whatever the library raises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import errors

from honed.checkpoints.download import hub
from honed.errors import SourceError


def raising(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: Any, **__: Any) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)


def made(kind: type[Exception]) -> Exception:
    """Errors of the library want a response that a test has not got."""
    return kind.__new__(kind)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (made(errors.GatedRepoError), "its owner grants access on request"),
        (made(errors.RepositoryNotFoundError), "there is no such public repository"),
        (made(errors.RevisionNotFoundError), "the repository has no revision v9"),
        (errors.LocalEntryNotFoundError("x"), "it is not in the cache and the Hub cannot be reached"),
        (ConnectionError("refused\nby host"), "ConnectionError: refused"),
        (RuntimeError(), "RuntimeError: no reason given"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_failures(monkeypatch: pytest.MonkeyPatch, error: Exception, message: str) -> None:
    raising(monkeypatch, error)
    with pytest.raises(SourceError) as caught:
        hub.fetch("org/name", "v9")
    assert str(caught.value).startswith(f"Hugging Face org/name@v9: {message}")
    assert "\n" not in str(caught.value)


def test_asks_for_no_pickles_and_no_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from fnmatch import fnmatch

    asked: dict[str, Any] = {}

    def download(repository: str, **options: Any) -> str:
        asked.update(options, repository=repository)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert hub.fetch("org/name", None) == tmp_path
    assert (asked["repository"], asked["revision"]) == ("org/name", None)

    def wanted(name: str) -> bool:
        return any(fnmatch(name, pattern) for pattern in asked["allow_patterns"])

    assert all(map(wanted, ["config.json", "model.safetensors", "model-00001-of-00002.safetensors", "tokenizer.json"]))
    assert wanted("honed/head.safetensors")
    assert not any(map(wanted, ["pytorch_model.bin", "modeling_x.py", "x.pt", "original/consolidated.safetensors"]))


def test_offline(tmp_path: Path) -> None:
    """In a process of its own: the library reads its settings when it is imported."""
    code = "from honed.checkpoints.source import resolve; resolve('some-org/some-model')"
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, timeout=60
    )
    last = result.stderr.splitlines()[-1]
    assert last == (
        "honed.errors.SourceError: there is no directory some-org/some-model here, and from Hugging Face "
        "some-org/some-model: it is not in the cache and the Hub cannot be reached"
    )
