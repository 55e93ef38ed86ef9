"""Models as GGUF files: read back by honed and by the gguf package."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import models, pre_tokenizers

from exportable_models import VOCABULARY, sample
from honed.api.compress import compress
from honed.api.families.decoders import Recording, sample_windows
from honed.backends.open import open_backend
from honed.backends.options import RunOptions
from honed.checkpoints.base import Checkpoint
from honed.checkpoints.gguf.checkpoint import GgufCheckpoint
from honed.checkpoints.gguf.export import export_gguf
from honed.checkpoints.gguf.tensor_plan import TensorType
from honed.checkpoints.open import open_checkpoint
from honed.checkpoints.sample_directory import write_sample
from honed.encodings.tied_table import TiedTable
from honed.errors import ArtifactError, FormatError, UnsupportedError
from honed.evaluate.compare import compare
from honed.models.registry import FAMILIES, read_model
from honed.models.samples import sample_configs
from packed_gpt_oss import packed

SAMPLES = [
    (name, number)
    for name, family in FAMILIES.items()
    if family.gguf is not None
    for number in range(len(sample_configs(family)))
]
UNSAID = {
    ("gemma2", 1): "scale",
    ("gemma3_text", 1): "scale",
    ("qwen2", 1): "sliding_window",
    ("cohere2", 1): "attention",
    ("smollm3", 1): "sliding_window",
    ("qwen2_moe", 1): "scoring",
    ("qwen3_moe", 1): "scoring",
    ("olmoe", 1): "scoring",
    ("gpt2", 1): "relu",
    ("gpt_neox", 1): "gelu_tanh",
    ("gpt_oss", 1): "before",
}
"""Samples that have what no key of their architecture says, and what is named."""


def exported(source: Path | Checkpoint, target: Path, asked: TensorType = "auto") -> GgufCheckpoint:
    export_gguf(open_checkpoint(str(source)) if isinstance(source, Path) else source, target, asked)
    return GgufCheckpoint(target)


def weights_of(checkpoint: Checkpoint) -> list[str]:
    return list(read_model(checkpoint.config, "m").weights())


def logits_of(checkpoint: Checkpoint) -> np.ndarray:
    native = Recording(open_backend(checkpoint, RunOptions(dtype="float32", threads=1, context=64)))
    compare(native, native, sample_windows(native.vocabulary, 1))
    return native.logits


@pytest.mark.parametrize(("model_type", "number"), SAMPLES)
def test_every_family_comes_back_or_is_refused_by_name(model_type: str, number: int, tmp_path: Path) -> None:
    source = open_checkpoint(str(sample(tmp_path / "m", model_type, number)))
    if (model_type, number) in UNSAID:
        with pytest.raises(UnsupportedError, match=UNSAID[model_type, number]):
            exported(source, tmp_path / "m.gguf")
        assert not list(tmp_path.glob("*.gguf")) and not list(tmp_path.glob(".m*"))
        return
    file = exported(source, tmp_path / "m.gguf")
    # A Mistral without a window is a Llama, and its file says so.
    assert file.config["model_type"] == ("llama" if (model_type, number) == ("mistral", 1) else model_type)
    for name in weights_of(source):
        np.testing.assert_allclose(
            file.weight(name).decode(), source.weight(name).decode(), rtol=0, atol=1e-7, err_msg=name
        )
    ours, theirs = logits_of(source), logits_of(file)
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-5 * max(1.0, float(np.abs(ours).max())))


@pytest.mark.parametrize("recipe", ["int8", "int4"])
@pytest.mark.parametrize("model_type", ["llama", "qwen2", "gemma3_text", "qwen3_moe"])
def test_the_codes_of_an_artifact_are_kept(model_type: str, recipe: str, tmp_path: Path) -> None:
    compress(sample(tmp_path / "m", model_type), recipe, out=tmp_path / "a", threads=1)
    artifact = open_checkpoint(str(tmp_path / "a"))
    file = exported(artifact, tmp_path / "m.gguf")
    kinds = set()
    for name in weights_of(artifact):
        mine = artifact.weight(name)
        if not isinstance(mine, TiedTable):
            kinds.add(mine.kind)
            np.testing.assert_allclose(file.weight(name).decode(), mine.decode(), rtol=2**-10, atol=2e-4, err_msg=name)
    assert kinds - {"dense"}
    types = {entry.format.name for entry in file.header.tensors.values()}
    assert types & {"Q8_0", "Q4_0", "Q4_1"}


def test_another_reader_sees_keys_and_values(tmp_path: Path) -> None:
    source = open_checkpoint(str(sample(tmp_path / "m", "llama", 1)))
    export_gguf(source, tmp_path / "m.gguf", "Q8_0")
    reader = gguf.GGUFReader(tmp_path / "m.gguf")
    fields = {name: field.contents() for name, field in reader.fields.items()}
    assert fields["general.architecture"] == "llama"
    assert fields["general.file_type"] == gguf.LlamaFileType.MOSTLY_Q8_0
    assert fields["llama.block_count"] == 2
    assert len(fields["tokenizer.ggml.tokens"]) == VOCABULARY
    assert fields["tokenizer.ggml.pre"] == "gpt-2"
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    up = tensors["blk.1.ffn_up.weight"]
    assert up.tensor_type == gguf.GGMLQuantizationType.Q8_0
    values = source.weight("model.layers.1.mlp.up_proj.weight").decode()
    np.testing.assert_array_equal(up.data, gguf.quants.quantize(values, up.tensor_type))
    assert tensors["output_norm.weight"].tensor_type == gguf.GGMLQuantizationType.F32
    assert "output.weight" not in tensors and "rope_freqs.weight" in tensors


def test_tokenizer_and_chat_template_come_back(tmp_path: Path) -> None:
    source = open_checkpoint(str(sample(tmp_path / "m", "qwen2")))
    mine, theirs = source.tokenizer(), exported(source, tmp_path / "m.gguf").tokenizer()
    text = "the thing <tool> is: Größe 12 <|end|>"
    assert theirs.encode(text) == mine.encode(text)
    assert theirs.decode(mine.encode(text)) == mine.decode(mine.encode(text))
    assert theirs.chat_template == mine.chat_template
    assert mine.end_tokens <= theirs.end_tokens


def test_a_gguf_file_keeps_its_blocks_and_its_tokenizer(tmp_path: Path) -> None:
    first = exported(sample(tmp_path / "m", "llama"), tmp_path / "1.gguf", "Q4_1")
    second = exported(first, tmp_path / "2.gguf")
    assert second.header.tensors.keys() == first.header.tensors.keys()
    for name in first.names:
        np.testing.assert_array_equal(second.weight(name).decode(), first.weight(name).decode())
    assert second.tokenizer().encode("the thing") == first.tokenizer().encode("the thing")


@pytest.mark.parametrize("asked", ["Q8_0", "Q4_0", "Q4_1", "BF16", "F16", "F32"])
def test_every_type_is_what_most_of_the_file_is(asked: TensorType, tmp_path: Path) -> None:
    file = exported(sample(tmp_path / "m", "llama", hidden_size=64, intermediate_size=100), tmp_path / "m.gguf", asked)
    types = {name: entry.format.name for name, entry in file.header.tensors.items()}
    assert types["token_embd.weight"] == types["blk.0.attn_q.weight"] == asked
    # Rows of 100 are no whole blocks.
    assert types["blk.0.ffn_down.weight"] == ("BF16" if asked.startswith("Q") else asked)
    assert types["blk.0.attn_norm.weight"] == "F32"


def test_rows_that_are_no_whole_blocks_of_256_have_the_form_of_32_instead(tmp_path: Path) -> None:
    folder = sample(tmp_path / "m", "llama", hidden_size=256, intermediate_size=96)
    file = exported(folder, tmp_path / "m.gguf", "Q4_K")
    types = {name: entry.format.name for name, entry in file.header.tensors.items()}
    assert types["token_embd.weight"] == types["blk.0.attn_q.weight"] == types["blk.0.ffn_up.weight"] == "Q4_K"
    assert types["blk.0.ffn_down.weight"] == "Q4_1"
    up = "model.layers.0.mlp.up_proj.weight"
    mine, theirs = open_checkpoint(str(folder)).weight(up).decode(), file.weight(up).decode()
    assert np.linalg.norm(mine - theirs) < 0.09 * np.linalg.norm(mine)


def test_what_is_there_stays_unless_it_is_a_gguf_file_to_be_replaced(tmp_path: Path) -> None:
    source = open_checkpoint(str(sample(tmp_path / "m", "llama")))
    target = tmp_path / "m.gguf"
    target.write_bytes(b"my notes")
    for overwrite in (False, True):
        with pytest.raises(ArtifactError, match=r"exists already|no GGUF file"):
            export_gguf(source, target, overwrite=overwrite)
    assert target.read_bytes() == b"my notes"
    target.unlink()
    export_gguf(source, target, "F32")
    before = target.stat().st_size
    export_gguf(source, target, "Q8_0", overwrite=True)
    assert target.stat().st_size < before


def test_a_value_that_is_not_finite_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    folder = sample(tmp_path / "m", "llama")
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"][3, 5] = np.nan
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(FormatError, match=r"layers\.1\.mlp\.up_proj"):
        exported(folder, tmp_path / "m.gguf", "Q8_0")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m"]


def test_families_and_models_without_a_form_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="model_type opt"):
        exported(sample(tmp_path / "opt", "opt"), tmp_path / "m.gguf")
    folder = tmp_path / "word"
    config = sample_configs(FAMILIES["llama"])[0]
    write_sample(folder, FAMILIES["llama"], config)
    with pytest.raises(UnsupportedError, match="WordLevel"):
        exported(folder, tmp_path / "m.gguf")


def test_experts_of_gpt_oss_stay_in_their_blocks(tmp_path: Path) -> None:
    folder = packed(tmp_path / "m")
    # The rotation as released configs state it.
    yarn = {"rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False}
    config = json.loads((folder / "config.json").read_text())
    config |= {"rope_theta": 150000, "rope_scaling": {**yarn, "original_max_position_embeddings": 4096}}
    (folder / "config.json").write_text(json.dumps(config))
    letters = {chr(number): number - 33 for number in range(33, 33 + 90)}
    fast = FastTokenizer(models.BPE(letters, []))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.save(str(folder / "tokenizer.json"))
    source = open_checkpoint(str(folder))
    file = exported(source, tmp_path / "m.gguf")
    assert file.header.tensors["blk.0.ffn_gate_exps.weight"].format.name == "MXFP4"
    for name in weights_of(source):
        np.testing.assert_array_equal(file.weight(name).decode(), source.weight(name).decode(), err_msg=name)
    data = next(one for one in gguf.GGUFReader(tmp_path / "m.gguf").tensors if one.name == "blk.1.ffn_down_exps.weight")
    expert = gguf.quants.dequantize(data.data, data.tensor_type)[1]
    np.testing.assert_array_equal(expert, source.weight("model.layers.1.mlp.experts.1.down_proj.weight").decode())
