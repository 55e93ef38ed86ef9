"""The kind of a checkpoint is told from its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from gguf_builder import write_model
from honed.checkpoints.open import open_checkpoint
from honed.errors import FormatError, SourceError


def test_kinds(tmp_path: Path, tiny_llama: Path) -> None:
    assert open_checkpoint(str(write_model(tmp_path / "m.gguf"))).kind == "gguf"
    assert open_checkpoint(str(tiny_llama)).kind == "huggingface"
    with pytest.raises(SourceError, match="is not a model"):
        open_checkpoint(str(tmp_path / "nothing"))


def test_a_gguf_file_that_is_something_else(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"PK\3\4" + bytes(100))
    with pytest.raises(FormatError, match=r"m.gguf: magic: the file does not begin with GGUF"):
        open_checkpoint(str(tmp_path / "m.gguf"))
