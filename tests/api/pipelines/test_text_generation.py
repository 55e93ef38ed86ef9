"""`honed.pipeline` against the pipeline of transformers on the same model: greedy replies and shapes are the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import honed
from honed.api.pipelines.text_generation import TextGenerationPipeline
from honed.errors import ParameterError, UnsupportedError

TEMPLATE = (
    "{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}{% if add_generation_prompt %}it {% endif %}"
)
CHAT = [{"role": "user", "content": "the hot word"}]
BEGUN = [*CHAT, {"role": "assistant", "content": "that was"}]


LETTERS = [*"abcdefghijklmnopqrstuvwxyz", "Ġ", "th", "he", "the", "Ġthe", "Ġo", "of"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama whose tokens are bytes, so that tokens alone are the text that they go on with, and a template."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM

    path = tmp_path_factory.mktemp("pipeline")
    vocabulary = {token: place for place, token in enumerate(["<s>", "</s>", *LETTERS])}
    merges = [("t", "h"), ("h", "e"), ("th", "e"), ("Ġ", "the"), ("Ġ", "o"), ("o", "f")]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(path / "tokenizer.json"))
    named = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    (path / "tokenizer_config.json").write_text(json.dumps({**named, "chat_template": TEMPLATE}))
    torch.manual_seed(7)
    sizes = {"hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(vocab_size=len(vocabulary), **sizes, bos_token_id=0, eos_token_id=1, initializer_range=0.3)
    LlamaForCausalLM(config).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def ours(directory: Path) -> Iterator[TextGenerationPipeline]:
    with honed.pipeline("text-generation", model=directory, dtype="float32", threads=1) as made:
        assert isinstance(made, TextGenerationPipeline)
        yield made


@pytest.fixture(scope="module")
def theirs(directory: Path) -> Any:
    import torch
    import transformers

    return transformers.pipeline("text-generation", model=str(directory), dtype=torch.float32, device="cpu")


@pytest.mark.parametrize(
    ("given", "settings"),
    [
        ("the hot", {"max_new_tokens": 9}),
        ("the hot", {"max_length": 12}),
        ("the hot", {"max_length": 5, "max_new_tokens": 11}),
        ("the hot", {"max_new_tokens": 9, "return_full_text": False}),
        (["the hot", "of it and that"], {"max_new_tokens": 7}),
        (["the hot"], {"max_new_tokens": 7, "return_full_text": False}),
        ("the hot", {"max_new_tokens": 20, "repetition_penalty": 1.3}),
        (CHAT, {"max_new_tokens": 6}),
        (CHAT, {"max_new_tokens": 6, "return_full_text": False}),
        ([CHAT, CHAT], {"max_new_tokens": 6}),
        (BEGUN, {"max_new_tokens": 6}),
    ],
)
def test_greedy_results_are_those_of_transformers(
    ours: TextGenerationPipeline, theirs: Any, given: Any, settings: dict[str, Any]
) -> None:
    expected = theirs(given, do_sample=False, **settings)
    assert ours(given, do_sample=False, **settings) == expected


def test_several_sequences_and_a_seed_for_all(ours: TextGenerationPipeline, theirs: Any) -> None:
    settings: dict[str, Any] = {"num_return_sequences": 3, "max_new_tokens": 8}
    shape = theirs(["the hot", "of it"], do_sample=True, **settings)
    honed.set_seed(42)
    first = ours(["the hot", "of it"], do_sample=True, **settings)
    assert [[sorted(record) for record in each] for each in first] == [[sorted(r) for r in each] for each in shape]
    honed.set_seed(42)
    assert ours(["the hot", "of it"], **settings) == first
    assert len({record["generated_text"] for record in first[0]}) == 3
    assert ours("the hot", seed=1, max_new_tokens=8) == ours("the hot", seed=1, max_new_tokens=8)
    assert len(ours("the hot", num_return_sequences=2, max_new_tokens=2)) == 2
    assert ours([]) == []


def test_a_loaded_model_and_dtypes_of_torch(directory: Path, ours: TextGenerationPipeline) -> None:
    import torch

    assert honed.pipeline(model=ours.model)("the hot", do_sample=False, max_new_tokens=3) == ours(
        "the hot", do_sample=False, max_new_tokens=3
    )
    with honed.pipeline(model=directory, torch_dtype=torch.bfloat16, device_map="auto", device="cpu") as made:
        assert made.tokenizer.encode("the hot") == ours.tokenizer.encode("the hot")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"num_return_sequences": 2, "do_sample": False}, "num_return_sequences"),
        ({"num_return_sequences": 0}, "num_return_sequences"),
        ({"max_length": 2}, r"max_length.*over the [0-9]+ tokens"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"do_sample": "no"}, "do_sample"),
        ({"return_full_text": 1}, "return_full_text"),
        ({"temperature": -1.0}, "temperature"),
        ({"num_beams": 4}, "num_beams"),
    ],
)
def test_what_is_out_of_range_is_named(ours: TextGenerationPipeline, settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ParameterError, match=named):
        ours("the hot", **settings)


@pytest.mark.parametrize("given", [3, [3], [[]], {"role": "user", "content": "the"}, [CHAT, 4]])
def test_what_is_no_prompt(ours: TextGenerationPipeline, given: Any) -> None:
    with pytest.raises(ParameterError, match="text_inputs"):
        ours(given)


def test_other_tasks_devices_and_models(directory: Path, minilm: Path) -> None:
    with pytest.raises(ParameterError, match=r"task.*text-generation"):
        honed.pipeline("summarization", model=directory)
    with pytest.raises(ParameterError, match=r"device.*processor"):
        honed.pipeline(model=directory, device="cuda")
    with pytest.raises(ParameterError, match=r"model.*must name a model"):
        honed.pipeline("text-generation")
    with pytest.raises(UnsupportedError):
        honed.pipeline(model=minilm)
