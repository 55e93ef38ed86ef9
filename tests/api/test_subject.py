"""The models of an evaluation: with the source that an artifact records, and named as certificates name them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import honed
from honed.api.subject import open_model, open_reference, refuse_quantized
from honed.backends.options import RunOptions
from honed.encodings.scheme import Int8Scheme
from honed.errors import SourceError, UnsupportedError
from honed.models.registry import read_model
from honed.plan.formats import DenseFormat


def test_a_model_is_its_own_reference(tiny_llama: Path) -> None:
    opened = open_model(str(tiny_llama), read_model)
    assert open_reference(opened, None, read_model) is opened
    subject = opened.subject(RunOptions(dtype="bfloat16", kv="int8"))
    assert (subject.name, subject.dtype, subject.kv) == (str(tiny_llama), "bfloat16", "int8")


def test_the_source_of_an_artifact_that_is_gone(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_llama, "source")
    honed.compress("source", "int8", out="int8")
    opened = open_model("int8", read_model)
    assert open_reference(opened, None, read_model).name == "source"
    shutil.rmtree("source")
    with pytest.raises(SourceError, match="the source of int8 cannot be found, so pass a reference"):
        open_reference(opened, None, read_model)


def test_quantized_references() -> None:
    refuse_quantized("dense", [DenseFormat("float32")])
    with pytest.raises(UnsupportedError, match="the reference int8 is quantized"):
        refuse_quantized("int8", [DenseFormat("float32"), Int8Scheme(32, 32)])
