"""Artifacts read back: the weights that were written, and every kind of damage found and named."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import honed
from divisible_models import save_llama, save_qwen2
from honed.api.compress import compress
from honed.backends.native import NativeBackend
from honed.backends.native_config import NativeConfig
from honed.checkpoints.artifact.checkpoint import Artifact
from honed.checkpoints.artifact.layout import HEAD_FILE
from honed.checkpoints.artifact.manifest import checksum, to_text
from honed.checkpoints.huggingface.checkpoint import HuggingFaceCheckpoint
from honed.checkpoints.huggingface.directory import Directory
from honed.checkpoints.open import open_checkpoint
from honed.encodings.int4 import Int4
from honed.encodings.int8 import Int8
from honed.encodings.tied_table import TiedTable
from honed.errors import ArtifactError, FormatError, HonedError
from tiny_models import whole

FORMAT_1 = Path(__file__).with_name("format1")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("artifact") / "source")


@pytest.fixture(scope="module")
def made(source: Path) -> Path:
    """A portable one, which has a file of every kind."""
    compress(source, "int4", out=source.parent / "int4", portable=True, threads=1)
    return source.parent / "int4"


@pytest.fixture
def artifact(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


def open_and_verify(path: Path) -> Artifact:
    found = Artifact(path)
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
        assert error < (0.1 if isinstance(weight, Int4) else 0.008 if isinstance(weight, TiedTable) else 0.004)
    table, head = artifact.weight("model.embed_tokens.weight"), artifact.head()
    assert isinstance(table, TiedTable)
    assert head is not None
    assert np.array_equal(table.decode() * factors, head.decode())
    assert isinstance(head, Int8)
    assert (head.group, head.activation.group) == (32, 32)
    # Encoded from the source, not from the embedding that was narrowed to 16 bits.
    encoded = original.weight("model.embed_tokens.weight").decode() * factors
    assert np.abs(head.decode() - encoded).max() <= float(head.scales.max()) * 0.51
    assert len(artifact.files) == 2
    with pytest.raises(KeyError):
        artifact.weight("lm_head.weight")
    with pytest.raises(KeyError):
        artifact.weight("other")


@pytest.mark.parametrize("recipe", ["int8", "int4", "nf4"])
def test_both_kinds_are_the_same_model_and_one_stores_every_weight_once(
    source: Path, tmp_path: Path, recipe: str
) -> None:
    compress(source, recipe, out=tmp_path / "once", threads=1)
    once = open_and_verify(tmp_path / "once")
    assert not (tmp_path / "once" / "honed").exists()
    assert len(once.files) == 1
    assert once.manifest["portable"] is False
    if recipe == "nf4":
        return  # no other tool reads codebooks
    compress(source, recipe, out=tmp_path / "portable", portable=True, threads=1)
    portable = open_and_verify(tmp_path / "portable")
    assert portable.manifest["portable"] is True
    assert once.names == portable.names
    for name in once.names:
        assert np.array_equal(once.weight(name).decode(), portable.weight(name).decode())
        assert once.scheme(name) == portable.scheme(name)
    assert replies(tmp_path / "once") == replies(tmp_path / "portable")
    assert once.files[0].stat().st_size < sum(path.stat().st_size for path in portable.files) - 2 * 32 * 64


def test_an_untied_head_is_encoded_and_dense_too_only_for_others(tmp_path: Path) -> None:
    source = save_qwen2(tmp_path / "source")
    for kind in ("portable", "once"):
        compress(source, "int8", out=tmp_path / kind, portable=kind == "portable", threads=1)
        artifact = open_and_verify(tmp_path / kind)
        assert isinstance(artifact.weight("lm_head.weight"), Int8)
        assert artifact.weight("model.embed_tokens.weight").kind == "dense"
        assert artifact.weight("model.layers.0.self_attn.q_proj.bias").kind == "dense"
    assert Directory(tmp_path / "portable").entry("lm_head.weight").dtype == "BF16"
    assert "lm_head.weight" not in Directory(tmp_path / "once").names
    assert not (tmp_path / "once" / HEAD_FILE).exists()


def test_one_that_was_written_before_tables_were_shared_loads_as_it_did() -> None:
    artifact = open_and_verify(FORMAT_1)
    assert artifact.manifest["format_version"] == 1
    assert "lm_head.weight" not in artifact.names
    assert artifact.weight("model.embed_tokens.weight").kind == "dense"
    assert isinstance(artifact.head(), Int8)
    backend = NativeBackend.load(artifact, NativeConfig(threads=1, keep_packed=False))
    logits = backend.forward(whole(np.arange(3, 20, dtype=np.int32)))
    assert hashlib.sha256(logits.tobytes()).hexdigest()[:16] == "3f4bae54beae0f4a"


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
    compress(source, recipe, out=tmp_path / "mixed", portable=True, threads=1)
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
    files = [path.relative_to(made) for path in made.rglob("*") if path.is_file() and path.name != "README.md"]
    assert len(files) >= 6
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
    opened = Artifact(artifact)
    with pytest.raises(ArtifactError, match=r"model\.safetensors: SHA-256 is .*damaged"):
        opened.verify()
    open_and_verify(made)


@pytest.mark.parametrize("name", ["config.json", HEAD_FILE, "tokenizer.json"])
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


def test_a_document_is_no_part_of_the_model(made: Path, artifact: Path) -> None:
    (artifact / "README.md").write_text("---\nlicense: mit\n---\n" + (artifact / "README.md").read_text())
    (artifact / "LICENSE").write_text("MIT")
    open_and_verify(artifact)
    (artifact / "README.md").unlink()
    open_and_verify(artifact)
    # As artifacts were written before documents were left out of the list.
    document = json.loads((artifact / "honed.json").read_text())
    resign(artifact, files={**document["files"], **document["documents"]})
    open_and_verify(artifact)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", HEAD_FILE, None])
def test_a_list_that_lacks_what_is_needed_is_refused(artifact: Path, name: str | None) -> None:
    files = json.loads((artifact / "honed.json").read_text())["files"]
    resign(artifact, files={} if name is None else {key: files[key] for key in files if key != name})
    with pytest.raises(ArtifactError, match=rf"honed\.json: files: {name or 'config.json'} is not listed"):
        open_checkpoint(str(artifact))


def replies(path: Path) -> tuple[object, ...]:
    """Everything that the files beside the weights have a say in."""
    with honed.load(path, threads=1) as model:
        chat = model.generate([{"role": "user", "content": "the of"}], max_tokens=6, temperature=0)
        text = model.generate("the of to", max_tokens=6)
        tokenizer = open_checkpoint(str(path)).tokenizer()
        return chat.tokens, text.tokens, tokenizer.end_tokens, tokenizer.chat_template, tokenizer.special_tokens


def test_files_that_are_not_listed_are_never_read(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "source").mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(source / name, tmp_path / "source" / name)
    monkeypatch.setattr("honed.checkpoints.artifact.writer.SHARD_BYTES", 40_000)
    path = tmp_path / "sharded"
    compress(tmp_path / "source", "int8", out=path, threads=1)
    assert not (path / "generation_config.json").exists()
    expected = replies(path)
    (path / "chat_template.jinja").write_text("planted")
    (path / "generation_config.json").write_text(
        '{"do_sample": true, "temperature": 5.0, "eos_token_id": [3, 4, 5, 6]}'
    )
    (path / "special_tokens_map.json").write_text('{"eos_token": "the", "bos_token": "of"}')
    (path / "added_tokens.json").write_text('{"the of": 5}')
    (path / "additional_chat_templates").mkdir()
    (path / "additional_chat_templates" / "default.jinja").write_text("planted")
    shutil.copy(source / "model.safetensors", path / "model.safetensors")
    assert replies(path) == expected
    assert open_and_verify(path).files[0].name.startswith("model-0")


def test_a_shard_that_is_not_listed_is_named(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("honed.checkpoints.artifact.writer.SHARD_BYTES", 40_000)
    path = tmp_path / "sharded"
    compress(source, "int8", out=path, threads=1)
    files = json.loads((path / "honed.json").read_text())["files"]
    shard = next(name for name in files if name.startswith("model-0"))
    resign(path, files={name: files[name] for name in files if name != shard})
    with pytest.raises(ArtifactError, match=rf"{shard} .*only what honed\.json lists is read"):
        open_checkpoint(str(path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make links of others")
@pytest.mark.parametrize("name", ["honed.json", "model.safetensors", "tokenizer.json", HEAD_FILE])
def test_a_file_that_a_stranger_linked_to_ours_is_refused(artifact: Path, tmp_path: Path, name: str) -> None:
    (artifact / name).rename(tmp_path / "elsewhere")
    (artifact / name).symlink_to(tmp_path / "elsewhere")
    open_checkpoint(str(artifact))
    os.lchown(artifact / name, 54321, 54321)
    with pytest.raises(FormatError, match=r"link: leads to .*of another owner"):
        open_checkpoint(str(artifact))


SCHEMES = st.fixed_dictionaries(
    {"encoding": st.sampled_from(["dense", "int8", "int4", "codebook", "sparse"])},
    optional={
        "dtype": st.sampled_from(["float32", "bfloat16", "float16"]),
        "group": st.sampled_from([None, 32, 64, 128]),
        "activation_group": st.sampled_from([None, 32, 64, 128]),
        "tied_table": st.booleans(),
        "offset": st.sampled_from(["symmetric", "zero_point", "minimum"]),
        "share": st.sampled_from([0.25, 0.5, 1.0]),
        "table": st.just(list(range(-8, 8))),
        "shape": st.lists(st.integers(1, 200), min_size=1, max_size=3),
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_a_manifest_says_of_a_weight_it_fits_or_is_refused(made: Path, artifact: Path, data: Any) -> None:
    shutil.copy(made / "honed.json", artifact / "honed.json")
    weights = json.loads((artifact / "honed.json").read_text())["weights"]
    name = data.draw(st.sampled_from(sorted(weights)))
    resign(artifact, weights={**weights, name: {**weights[name], **data.draw(SCHEMES)}})
    with suppress(HonedError):
        opened = open_and_verify(artifact)
        for known in opened.names:
            opened.weight(known).decode()


def test_shards_are_read_back(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("honed.checkpoints.artifact.writer.SHARD_BYTES", 40_000)
    compress(source, "int8", out=tmp_path / "sharded", threads=1)
    assert len(list((tmp_path / "sharded").glob("model-*.safetensors"))) > 1
    artifact = open_and_verify(tmp_path / "sharded")
    assert len(artifact.files) > 2
    for name in artifact.names:
        assert np.isfinite(artifact.weight(name).decode()).all()
