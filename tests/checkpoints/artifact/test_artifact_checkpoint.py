"""Artifacts read back: the weights that were written, and every kind of damage found and named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from divisible_models import save_llama, save_qwen2
from honed.api.compress import compress
from honed.checkpoints.artifact.checkpoint import Artifact
from honed.checkpoints.artifact.layout import HEAD_FILE
from honed.checkpoints.artifact.manifest import checksum, to_text
from honed.checkpoints.huggingface.checkpoint import Directory, HuggingFaceCheckpoint
from honed.checkpoints.open import open_checkpoint
from honed.encodings.int4 import Int4
from honed.encodings.int8 import Int8
from honed.errors import ArtifactError, FormatError, HonedError


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("artifact") / "source")


@pytest.fixture(scope="module")
def made(source: Path) -> Path:
    compress(source, "int4", out=source.parent / "int4", threads=1)
    return source.parent / "int4"


@pytest.fixture
def artifact(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


def open_and_verify(path: Path) -> Artifact:
    found = Artifact(Directory(path))
    found.verify()
    return found


def test_weights_and_head_come_back_in_their_encodings(made: Path, source: Path) -> None:
    artifact, original = open_and_verify(made), HuggingFaceCheckpoint(Directory(source))
    assert artifact.kind == "artifact"
    assert set(artifact.names) == set(original.names)
    norm = "model.norm.weight"
    factors = original.weight(norm).decode() / artifact.weight(norm).decode()  # moved into the head
    assert set(np.log2(factors) % 1) == {0.0}
    for name in artifact.names:
        weight = artifact.weight(name)
        if name == norm:
            continue
        assert weight.shape == original.weight(name).shape
        reference = original.weight(name).decode()
        error = np.linalg.norm(weight.decode() - reference) / np.linalg.norm(reference)
        assert error < (0.1 if isinstance(weight, Int4) else 0.004)
    head = artifact.head()
    assert isinstance(head, Int8)
    assert (head.group, head.activation.group) == (32, 32)
    # Encoded from the source, not from the embedding that was narrowed to 16 bits.
    table = original.weight("model.embed_tokens.weight").decode()
    assert np.abs(head.decode() - table * factors).max() <= float(head.scales.max()) * 0.51
    assert len(artifact.files) == 2
    with pytest.raises(KeyError):
        artifact.weight("lm_head.weight")
    with pytest.raises(KeyError):
        artifact.weight("other")


def test_an_untied_head_is_encoded_for_us_and_dense_for_others(tmp_path: Path) -> None:
    source = save_qwen2(tmp_path / "source")
    compress(source, "int8", out=tmp_path / "int8", threads=1)
    artifact = open_and_verify(tmp_path / "int8")
    assert isinstance(artifact.weight("lm_head.weight"), Int8)
    assert Directory(tmp_path / "int8").entry("lm_head.weight").dtype == "BF16"
    assert artifact.weight("model.layers.0.self_attn.q_proj.bias").kind == "dense"


def test_a_dense_head_has_no_file_of_its_own(source: Path, tmp_path: Path) -> None:
    recipe = {
        "passes": [
            {
                "pass": "round_to_nearest",
                "weights": {"bits": 8, "group": None},
                "overrides": [
                    {"modules": "lm_head", "setting": "dense"},
                    {"modules": "*.0.self_attn.*", "setting": "dense"},
                ],
            }
        ]
    }
    compress(source, recipe, out=tmp_path / "mixed", threads=1)
    artifact = open_and_verify(tmp_path / "mixed")
    assert artifact.head() is None
    assert not (tmp_path / "mixed" / HEAD_FILE).exists()
    ignored = artifact.config["quantization_config"]["ignore"]
    assert ignored == [f"model.layers.0.self_attn.{x}_proj" for x in "qkvo"] + ["lm_head"]
    assert artifact.weight("model.layers.0.self_attn.q_proj.weight").kind == "dense"


def test_the_tokenizer_and_its_template_are_there(made: Path) -> None:
    tokenizer = open_checkpoint(str(made)).tokenizer()
    assert tokenizer.encode("the of to") == [1, 3, 5, 6]
    assert tokenizer.chat_template is not None


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position % len(data)] ^= 0x10
    path.write_bytes(bytes(data))


def test_one_flipped_byte_in_any_file_is_found_and_the_file_named(made: Path, tmp_path: Path) -> None:
    files = [path.relative_to(made) for path in made.rglob("*") if path.is_file()]
    assert len(files) >= 7
    for number, name in enumerate(files):
        copy = tmp_path / str(number)
        shutil.copytree(made, copy)
        for position in (-1, (copy / name).stat().st_size // 2):
            flip(copy / name, position)
            with pytest.raises(HonedError, match=name.name.replace(".", r"\.")):
                open_and_verify(copy)
            flip(copy / name, position)
        open_and_verify(copy)


def test_a_large_file_is_checked_too(made: Path, artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the threshold at zero every file goes to the threads, which tell only in `verify`."""
    monkeypatch.setattr("honed.checkpoints.artifact.checkpoint._SMALL", 0)
    flip(artifact / "model.safetensors", -1)
    opened = Artifact(Directory(artifact))
    with pytest.raises(ArtifactError, match=r"model\.safetensors: SHA-256 is .*damaged"):
        opened.verify()
    open_and_verify(made)


@pytest.mark.parametrize("name", ["README.md", HEAD_FILE, "tokenizer.json"])
def test_a_missing_or_shortened_file_is_named(artifact: Path, name: str) -> None:
    data = (artifact / name).read_bytes()
    (artifact / name).write_bytes(data[:-1])
    with pytest.raises(ArtifactError, match=rf"{name}: has {len(data) - 1} bytes, honed\.json says {len(data)}"):
        open_and_verify(artifact)
    (artifact / name).unlink()
    with pytest.raises(ArtifactError, match=f"{name}: is missing"):
        open_and_verify(artifact)


def resign(path: Path, **changes: object) -> None:
    document = json.loads((path / "honed.json").read_text())
    body = {key: value for key, value in {**document, **changes}.items() if key != "checksum"}
    (path / "honed.json").write_text(to_text({**body, "checksum": checksum(body)}))


def test_a_manifest_that_lies_about_weights_or_paths_is_refused(artifact: Path) -> None:
    weights = json.loads((artifact / "honed.json").read_text())["weights"]
    name = "model.layers.0.mlp.up_proj.weight"
    resign(artifact, weights={**weights, name: {**weights[name], "shape": [10, 64]}})
    with pytest.raises(ArtifactError, match=r"up_proj\.weight_packed: is I32 .*implies I32"):
        open_and_verify(artifact)
    resign(artifact, weights={**weights, name: {**weights[name], "encoding": "int8"}})
    with pytest.raises(ArtifactError, match=r"up_proj\.weight_packed"):
        open_and_verify(artifact)
    resign(artifact, weights={key: value for key, value in weights.items() if key != name})
    with pytest.raises(FormatError, match=r"up_proj\.weight"):
        open_and_verify(artifact)
    resign(artifact, weights=weights, files={"../outside": {"bytes": 1, "sha256": ""}})
    with pytest.raises(ArtifactError, match="leads out of the directory"):
        open_and_verify(artifact)


def test_shards_are_read_back(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("honed.checkpoints.artifact.writer.SHARD_BYTES", 40_000)
    compress(source, "int8", out=tmp_path / "sharded", threads=1)
    assert len(list((tmp_path / "sharded").glob("model-*.safetensors"))) > 1
    artifact = open_and_verify(tmp_path / "sharded")
    assert len(artifact.files) > 2
    for name in artifact.names:
        assert np.isfinite(artifact.weight(name).decode()).all()
