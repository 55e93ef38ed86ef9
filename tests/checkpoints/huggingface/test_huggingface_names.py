"""Names as wrappers write them, against what transformers makes of a base model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import honed
from honed.checkpoints.huggingface.names import canonical_names
from honed.errors import FormatError

PATH = Path("m")
NAMES = ("model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight", "model.norm.weight", "lm_head.weight")


@pytest.mark.parametrize(
    ("stored", "rest"),
    [
        (NAMES, ()),
        (("embed_tokens.weight", "layers.0.mlp.up_proj.weight", "norm.weight", "lm_head.weight"), ("score.weight",)),
        (tuple(f"language_model.{name}" for name in NAMES), ("vision_tower.x",)),
        (tuple(f"_orig_mod.{name}" for name in NAMES), ()),
        (tuple(f"module.{name}" for name in NAMES), ()),
        (
            (*(name.replace("model.", "model.language_model.") for name in NAMES[:3]), "lm_head.weight"),
            ("model.visual.x",),
        ),
    ],
)
def test_wrappers(stored: tuple[str, ...], rest: tuple[str, ...]) -> None:
    assert canonical_names([*stored, *rest], PATH) == dict(zip((*NAMES, *rest), (*stored, *rest), strict=True))


def test_names_that_mean_nothing_here_stay() -> None:
    assert canonical_names(["a", "transformer.wte.weight"], PATH) == {
        "a": "a",
        "transformer.wte.weight": "transformer.wte.weight",
    }


def test_two_names_of_one_weight_are_refused() -> None:
    with pytest.raises(FormatError, match=r"model\.norm\.weight.*is there under two names"):
        canonical_names(["embed_tokens.weight", "norm.weight", "model.norm.weight"], PATH)


def test_a_base_model_runs_as_in_transformers(tiny_llama: Path, tmp_path: Path) -> None:
    transformers.AutoModel.from_pretrained(tiny_llama).save_pretrained(tmp_path / "base")
    assert "embed_tokens.weight" in load_file(tmp_path / "base" / "model.safetensors")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "base" / name).write_bytes((tiny_llama / name).read_bytes())
    with honed.load(tmp_path / "base") as base, honed.load(tiny_llama) as whole:
        prompt = [5, 9, 2, 11]
        expected = whole.generate(prompt, max_tokens=8, temperature=0).tokens
        assert base.generate(prompt, max_tokens=8, temperature=0).tokens == expected


def test_a_base_model_without_a_tied_head_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    transformers.AutoModel.from_pretrained(tiny_llama).save_pretrained(tmp_path / "base")
    config = json.loads((tmp_path / "base" / "config.json").read_text())
    (tmp_path / "base" / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))
    with pytest.raises(FormatError, match=r"lm_head.weight: is missing"):
        honed.load(tmp_path / "base")


def test_compiled_models_run(tiny_llama: Path, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    for file in tiny_llama.iterdir():
        (tmp_path / "m" / file.name).write_bytes(file.read_bytes())
    tensors: dict[str, torch.Tensor] = load_file(tiny_llama / "model.safetensors")
    save_file({f"_orig_mod.{name}": value for name, value in tensors.items()}, tmp_path / "m" / "model.safetensors")
    with honed.load(tmp_path / "m") as wrapped, honed.load(tiny_llama) as plain:
        expected = plain.generate([5, 9], max_tokens=4, temperature=0).tokens
        assert wrapped.generate([5, 9], max_tokens=4, temperature=0).tokens == expected


ENCODER = (
    "embeddings.word_embeddings.weight",
    "embeddings.LayerNorm.weight",
    "embeddings.LayerNorm.bias",
    "encoder.layer.0.output.LayerNorm.weight",
    "pooler.dense.weight",
)


@pytest.mark.parametrize("before", ["", "bert.", "roberta.", "distilbert.", "0.auto_model.", "_orig_mod.bert."])
def test_what_stands_before_the_names_of_an_encoder(before: str) -> None:
    stored = [f"{before}{name}" for name in ENCODER]
    rest = ["cls.predictions.bias", "lm_head.dense.weight"]
    found = canonical_names([*stored, *rest], PATH)
    assert found == dict(zip((*ENCODER, *rest), (*stored, *rest), strict=True))


def test_norms_of_checkpoints_that_were_trained_with_tensorflow() -> None:
    stored = [f"bert.{name.replace('Norm.weight', 'Norm.gamma').replace('Norm.bias', 'Norm.beta')}" for name in ENCODER]
    assert "bert.embeddings.LayerNorm.gamma" in stored
    assert tuple(canonical_names(stored, PATH)) == ENCODER


def test_two_encoders_in_one_file_stay_as_they_are() -> None:
    stored = [f"{tower}.{name}" for tower in ("query", "passage") for name in ENCODER]
    assert list(canonical_names(stored, PATH)) == stored


def test_two_names_of_one_weight_of_an_encoder() -> None:
    with pytest.raises(FormatError, match=r"LayerNorm\.weight.*is there under two names"):
        canonical_names([*ENCODER, "embeddings.LayerNorm.gamma"], PATH)
