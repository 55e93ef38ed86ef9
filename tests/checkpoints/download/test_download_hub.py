"""Hugging Face ids without a network: one sentence, whatever the library raises."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import errors

import hub_server
from honed.checkpoints.download import hub
from honed.errors import SourceError
from hub_server import Hub


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


FETCH = """
from honed.checkpoints.download import hub
from honed.errors import HonedError
try:
    path = hub.fetch({name!r}, None)
    print(*sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()))
except HonedError as error:
    print("refused:", error)
"""


def fetched(served: Hub, home: Path, **environment: str) -> str:
    done = served.run(FETCH.format(name=served.repository), home, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def repository(path: Path, *names: str, index: dict[str, Any] | None = None, manifest: object = None) -> Path:
    """A directory with files of these names, and all the others that must never be asked for."""
    for name in ("config.json", "pytorch_model.bin", "modeling_x.py", "original/consolidated.safetensors", *names):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(json.dumps({"name": name}))
    if index is not None:
        (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    if manifest is not None:
        (path / "honed.json").write_text(json.dumps({"files": manifest}))
    return path


def test_a_single_file_and_all_that_a_tokenizer_is_read_from(tmp_path: Path) -> None:
    small = [
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "chat_template.json",
        "added_tokens.json",
    ]
    with hub_server.hub(repository(tmp_path / "r", "model.safetensors", *small)) as served:
        assert fetched(served, tmp_path / "home").split() == sorted(["config.json", "model.safetensors", *small])
        before = len(served.requests)
        assert "model.safetensors" in fetched(served, tmp_path / "home")
        assert len(served.requests) == before + 1  # which commit it is
    assert "model.safetensors" in fetched(served, tmp_path / "home", HF_HUB_OFFLINE="1")


def test_the_shards_that_the_index_names_whatever_their_style(tmp_path: Path) -> None:
    shards = ["model.safetensors-00001-of-00002.safetensors", "wei[rd]*.safetensors"]
    path = repository(
        tmp_path / "r", *shards, "other.safetensors", "weirr.safetensors", index={"a": shards[0], "b": shards[1]}
    )
    with hub_server.hub(path) as served:
        found = fetched(served, tmp_path / "home").split()
    assert found == sorted(["config.json", "model.safetensors.index.json", *shards])


def test_a_single_file_comes_before_an_index(tmp_path: Path) -> None:
    """As for a directory, and as transformers has it."""
    path = repository(tmp_path / "r", "model.safetensors", "s.safetensors", index={"a": "s.safetensors"})
    with hub_server.hub(path) as served:
        assert "s.safetensors" not in fetched(served, tmp_path / "home").split()


def test_an_artifact_is_what_its_manifest_lists(tmp_path: Path) -> None:
    files = ["model.safetensors", "honed/head.safetensors", "honed/minimums.safetensors", "config.json"]
    path = repository(tmp_path / "r", *files, "README.md", "LICENSE", "other.safetensors")
    listed = {"files": dict.fromkeys([*files, "modeling_x.py", "pytorch_model.bin"]), "documents": {"README.md": None}}
    (path / "honed.json").write_text(json.dumps(listed))
    with hub_server.hub(path) as served:
        assert fetched(served, tmp_path / "home").split() == sorted([*files, "honed.json", "README.md"])


@pytest.mark.parametrize(
    "name", ["../x.safetensors", "/etc/x.safetensors", "a/../../x.json", "a\\\\b.json", "C:/x.json", ".."]
)
def test_a_manifest_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with hub_server.hub(repository(tmp_path / "r", manifest={name: None})) as served:
        assert "leads out of the directory" in fetched(served, tmp_path / "home")


def test_an_index_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    with hub_server.hub(
        repository(tmp_path / "r", index={"a": "../x.safetensors"}), extra=["../x.safetensors"]
    ) as served:
        assert "must be a .safetensors file of the directory" in fetched(served, tmp_path / "home")
        assert not any("x.safetensors" in request for request in served.requests)


def test_names_that_the_hub_lists_choose_nothing(tmp_path: Path) -> None:
    evil = ["../../evil.json", "model-/../../evil.safetensors", "/etc/evil.safetensors"]
    with hub_server.hub(repository(tmp_path / "r", "model.safetensors"), extra=evil) as served:
        assert fetched(served, tmp_path / "home").split() == ["config.json", "model.safetensors"]
        assert not any("evil" in request for request in served.requests)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["m.Q4_K_M.gguf"], "it holds GGUF files only; download one (hf download, for instance of m.Q4_K_M.gguf)"),
        (["adapter_config.json"], "it holds an adapter"),
        ([], "it holds pickled weights only"),
    ],
)
def test_what_is_there_instead_is_said(tmp_path: Path, names: list[str], message: str) -> None:
    with hub_server.hub(repository(tmp_path / "r", *names)) as served:
        assert f"refused: Hugging Face me/model: {message}" in fetched(served, tmp_path / "home")


def test_what_a_broken_download_left_is_completed_or_named(tmp_path: Path) -> None:
    index = {"a": "1.safetensors", "b": "2.safetensors"}
    with hub_server.hub(repository(tmp_path / "r", "1.safetensors", "2.safetensors", index=index)) as served:
        fetched(served, tmp_path / "home")
        shard = next((tmp_path / "home").rglob("2.safetensors"))
        shard.resolve().unlink()
        shard.unlink()
        said = fetched(served, tmp_path / "home", HF_HUB_OFFLINE="1")
        assert "a part of it only is in the cache (2.safetensors is missing), and the Hub cannot be reached" in said
        assert "2.safetensors" in fetched(served, tmp_path / "home").split()


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


def test_a_tekken_file_only_where_it_is_the_only_tokenizer(tmp_path: Path) -> None:
    both = repository(tmp_path / "both", "model.safetensors", "tokenizer.json", "tekken.json")
    with hub_server.hub(both) as served:
        assert fetched(served, tmp_path / "a").split() == ["config.json", "model.safetensors", "tokenizer.json"]
    alone = repository(tmp_path / "alone", "model.safetensors", "tekken.json")
    with hub_server.hub(alone) as served:
        assert fetched(served, tmp_path / "b").split() == ["config.json", "model.safetensors", "tekken.json"]
    assert "tekken.json" in fetched(served, tmp_path / "b", HF_HUB_OFFLINE="1")
