"""Tiny directories: the same ones each time, as transformers would save them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from honed.checkpoints.open import open_checkpoint
from honed.checkpoints.sample_directory import sample_tensors, write_sample
from honed.models.registry import FAMILIES
from honed.models.samples import sample_configs


@pytest.mark.parametrize("model_type", ["phi3", "gpt_neox", "mixtral", "bert"])
def test_a_directory_holds_all_weights_by_the_names_of_transformers(model_type: str, tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

    family = FAMILIES[model_type]
    config = sample_configs(family)[0]
    path = write_sample(tmp_path / "sample", family, config)
    checkpoint = open_checkpoint(str(path))
    assert set(checkpoint.names) >= set(family.read(config, path).weights())
    maker = AutoModel if model_type == "bert" else AutoModelForCausalLM
    shapes = {name: values.shape for name, values in sample_tensors(family, config).items()}
    expected = maker.from_config(AutoConfig.for_model(**config)).state_dict()
    if model_type != "mixtral":  # transformers keeps experts together and takes them apart when it saves
        spelled = {name.replace("lm_head.", "embed_out.") if model_type == "gpt_neox" else name for name in expected}
        assert shapes.keys() == spelled
        assert sum(map(np.prod, shapes.values())) == sum(values.numel() for values in expected.values())


def test_text_becomes_tokens_of_the_vocabulary(tmp_path: Path) -> None:
    family = FAMILIES["llama"]
    tokenizer = open_checkpoint(str(write_sample(tmp_path / "s", family, sample_configs(family)[0]))).tokenizer()
    ids = tokenizer.encode("The cat.", add_special=False)
    assert len(ids) == 8
    assert all(3 <= token < 97 for token in ids)
    assert len(set(ids)) == 8


def test_seeds_give_weights() -> None:
    family = FAMILIES["llama"]
    config = sample_configs(family)[0]
    one, again, other = (sample_tensors(family, config, seed) for seed in (0, 0, 1))
    assert all(np.array_equal(one[name], again[name]) for name in one)
    assert not np.array_equal(one["model.norm.weight"], other["model.norm.weight"])
    assert abs(float(one["model.norm.weight"].mean()) - 1) < 0.2
