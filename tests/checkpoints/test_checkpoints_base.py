from __future__ import annotations

from pathlib import Path

import honed
from honed.checkpoints.base import Manifested
from honed.checkpoints.open import open_checkpoint


def test_only_what_honed_wrote_has_a_manifest(tiny_llama: Path, tmp_path: Path) -> None:
    honed.compress(tiny_llama, recipe="int8", out=tmp_path / "int8")
    artifact, source = open_checkpoint(str(tmp_path / "int8")), open_checkpoint(str(tiny_llama))
    assert isinstance(artifact, Manifested)
    assert set(artifact.manifest["source"]["files"]) == {"config.json", "model.safetensors"}
    assert not isinstance(source, Manifested)
