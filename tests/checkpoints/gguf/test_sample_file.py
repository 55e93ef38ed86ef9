"""Tiny GGUF files: what is written is read back, by the gguf package too."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from honed.checkpoints.gguf.sample_file import write_file, write_sample_file
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


def test_another_reader_sees_the_same(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    keys: dict[str, int | float | bool | str] = {"general.architecture": "llama", "a.b": 7, "a.c": 0.5, "a.d": True}
    path = write_file(tmp_path / "m.gguf", keys, {"x.weight": values, "y.weight": values[0]})
    reader = gguf.GGUFReader(path)
    assert {key: reader.fields[key].contents() for key in keys} == keys
    np.testing.assert_array_equal(reader.tensors[0].data, values)
    np.testing.assert_array_equal(reader.tensors[1].data, values[0])


def test_a_family_without_names_there_is_refused(tmp_path: Path) -> None:
    family = FAMILIES["opt"]
    source = open_checkpoint(str(write_sample(tmp_path / "sample", family, sample_configs(family)[0])))
    with pytest.raises(ValueError, match="opt has no names"):
        write_sample_file(tmp_path / "m.gguf", family, source)
