"""Tiny GGUF files: what is written is read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from honed.checkpoints.gguf.sample_file import write_sample_file
from honed.checkpoints.open import open_checkpoint
from honed.checkpoints.sample_directory import write_sample
from honed.models.registry import FAMILIES
from honed.models.samples import sample_configs

DENSE = [name for name, family in FAMILIES.items() if family.gguf is not None and not family.gguf.experts]


@pytest.mark.parametrize("model_type", DENSE)
def test_a_model_comes_back_as_it_was(model_type: str, tmp_path: Path) -> None:
    family = FAMILIES[model_type]
    source = open_checkpoint(str(write_sample(tmp_path / "sample", family, sample_configs(family)[0])))
    file = open_checkpoint(str(write_sample_file(tmp_path / "m.gguf", family, source)))
    model, back = family.read(source.config, "a"), family.read(file.config, "b")
    assert back.dimensions == model.dimensions
    assert file.config["model_type"] == model_type
    for name in model.weights():
        np.testing.assert_array_equal(file.weight(name).decode(), source.weight(name).decode(), err_msg=name)


def test_a_family_without_names_there_is_refused(tmp_path: Path) -> None:
    family = FAMILIES["opt"]
    source = open_checkpoint(str(write_sample(tmp_path / "sample", family, sample_configs(family)[0])))
    with pytest.raises(ValueError, match="opt has no names"):
        write_sample_file(tmp_path / "m.gguf", family, source)
