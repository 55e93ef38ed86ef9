"""What sentence-transformers writes beside the weights: read as it means it, refused by name where it is not known."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from honed.checkpoints.huggingface.sentence_files import SentenceSettings, read_sentence_settings, sentence_files
from honed.errors import FormatError, UnsupportedError

MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
]
MEAN = {"word_embedding_dimension": 384, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write(tmp_path / "modules.json", MODULES)
    write(tmp_path / "1_Pooling/config.json", MEAN)
    return tmp_path


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value))


def read(path: Path) -> SentenceSettings:
    return read_sentence_settings(SimpleNamespace(path=path))


def test_without_any_file(tmp_path: Path) -> None:
    assert read(tmp_path) == SentenceSettings()
    (tmp_path / "model.gguf").touch()
    assert read(tmp_path / "model.gguf").pooling is None


def test_mean_and_normalized(directory: Path) -> None:
    found = read(directory)
    assert (found.pooling, found.normalize, found.limit, found.pools_prompt) == ("mean", True, None, True)
    write(directory / "modules.json", MODULES[:2])
    assert not read(directory).normalize
    write(directory / "modules.json", MODULES[:1])
    assert read(directory).pooling is None


@pytest.mark.parametrize(
    ("settings", "pooling"),
    [
        ({"pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode_lasttoken": True, "pooling_mode_mean_tokens": False}, "last"),
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode": ["lasttoken"], "include_prompt": True}, "last"),
    ],
)
def test_poolings(directory: Path, settings: dict[str, Any], pooling: str) -> None:
    write(directory / "1_Pooling/config.json", settings)
    assert read(directory).pooling == pooling


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pooling_mode_max_tokens": True}, "pools by pooling_mode_max_tokens, which is not supported"),
        (
            {**MEAN, "pooling_mode_cls_token": True},
            "pools by pooling_mode_mean_tokens and pooling_mode_cls_token, which is not",
        ),
        ({}, "pools by nothing"),
        ({"pooling_mode": "weightedmean"}, "pooling_mode 'weightedmean' is not supported; supported are mean, cls"),
    ],
)
def test_poolings_that_are_not_known(directory: Path, settings: dict[str, Any], message: str) -> None:
    write(directory / "1_Pooling/config.json", settings)
    with pytest.raises(UnsupportedError, match=message):
        read(directory)


@pytest.mark.parametrize(
    ("file", "value", "field"),
    [
        ("modules.json", {"idx": 0}, "JSON"),
        ("modules.json", ["Transformer"], "module 0"),
        ("modules.json", [{"type": 3, "path": ""}], "module 0"),
        ("modules.json", MODULES[:1] * 20, "modules"),
        ("modules.json", [MODULES[0], {**MODULES[1], "path": "../other"}], r"module 1: path '../other' leads out"),
        ("modules.json", [MODULES[0], {**MODULES[1], "path": "/etc"}], r"module 1: path '/etc' leads out"),
        ("modules.json", [MODULES[0], {**MODULES[1], "path": "none"}], r"none/config.json: is missing"),
        ("1_Pooling/config.json", {**MEAN, "pooling_mode_max_tokens": "yes"}, "pooling_mode_max_tokens"),
        ("sentence_bert_config.json", {"max_seq_length": "256"}, "max_seq_length: is '256', but must be"),
        ("sentence_bert_config.json", {"max_seq_length": 0}, "max_seq_length"),
        ("sentence_bert_config.json", {"max_seq_length": 2, "do_lower_case": 1}, "do_lower_case"),
        ("config_sentence_transformers.json", {"prompts": {"query": 3}}, "prompts"),
        ("config_sentence_transformers.json", {"default_prompt_name": "query"}, "default_prompt_name: is 'query'"),
    ],
)
def test_malformed_files(directory: Path, file: str, value: Any, field: str) -> None:
    write(directory / file, value)
    with pytest.raises(FormatError, match=field):
        read(directory)


@pytest.mark.parametrize(
    "modules",
    [
        [*MODULES, {"idx": 3, "path": "3_Dense", "type": "sentence_transformers.models.Dense"}],
        [MODULES[1], MODULES[0]],
        [MODULES[0], MODULES[2]],
        [MODULES[0], MODULES[1], MODULES[1]],
    ],
)
def test_steps_that_are_not_known(directory: Path, modules: list[Any]) -> None:
    write(directory / "modules.json", modules)
    with pytest.raises(UnsupportedError, match=r"modules.json: module \d is '\w+', which is not supported there"):
        read(directory)


def test_how_long_a_text_may_be(directory: Path) -> None:
    write(directory / "tokenizer_config.json", {"model_max_length": 512})
    assert read(directory).limit == 512
    write(directory / "sentence_bert_config.json", {"max_seq_length": 256, "do_lower_case": True})
    assert (read(directory).limit, read(directory).lowercase) == (256, True)
    write(directory / "sentence_bert_config.json", {"max_seq_length": None})
    assert read(directory).limit == 512
    write(directory / "tokenizer_config.json", {"model_max_length": 1000000000000000019884624838656})
    assert read(directory).limit is None


def test_a_transformer_with_a_folder_of_its_own(directory: Path) -> None:
    write(directory / "modules.json", [{**MODULES[0], "path": "0_Transformer"}, *MODULES[1:]])
    write(directory / "0_Transformer/sentence_bert_config.json", {"max_seq_length": 128})
    assert read(directory).limit == 128


def test_prompts(directory: Path) -> None:
    prompts = {"query": "query: ", "passage": "passage: ", "document": ""}
    write(directory / "config_sentence_transformers.json", {"prompts": prompts, "default_prompt_name": "query"})
    found = read(directory)
    assert (found.prompts, found.default_prompt) == ({"query": "query: ", "passage": "passage: "}, "query")
    write(directory / "config_sentence_transformers.json", {"prompts": prompts, "default_prompt_name": None})
    assert read(directory).default_prompt is None


def test_files_that_an_artifact_does_not_list_are_not_read(directory: Path) -> None:
    checkpoint = SimpleNamespace(path=directory, lists=lambda name: False)
    assert read_sentence_settings(checkpoint).pooling is None


def test_the_files_that_were_read_are_known_by_name(tmp_path: Path) -> None:
    write(tmp_path / "modules.json", [{"path": "", "type": "Transformer"}, {"path": "rows", "type": "m.Pooling"}])
    write(tmp_path / "rows/config.json", {"pooling_mode_cls_token": True})
    write(tmp_path / "tokenizer_config.json", {"model_max_length": 12})
    found = sentence_files(SimpleNamespace(path=tmp_path))
    assert found == ("modules.json", "rows/config.json", "tokenizer_config.json")
