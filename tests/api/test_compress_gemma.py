"""Recipes on a Gemma: norms that files hold less 1, a block with norms behind its halves, and a scaled embedding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import honed
from divisible_models import save_gemma3
from honed.api.compress import compress
from honed.api.language_model import LanguageModel
from honed.checkpoints.artifact.checkpoint import Artifact
from honed.encodings.dense import Dense
from honed.errors import ParameterError
from tiny_models import whole

TOKENS = [1, 5, 9, 3, 20, 14, 7, 30, 2, 11, 6, 8]


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_gemma3(tmp_path_factory.mktemp("gemma") / "source")


@pytest.mark.parametrize(("recipe", "least"), [("int8", 0.999), ("int4", 0.95)])
def test_a_recipe_keeps_what_the_model_says(gemma: Path, tmp_path: Path, recipe: str, least: float) -> None:
    from transformers import AutoModelForCausalLM

    compress(gemma, recipe, out=tmp_path / "out", threads=1)
    artifact = Artifact(tmp_path / "out")
    dense = [name for name in artifact.names if isinstance(artifact.weight(name), Dense)]
    assert dense
    assert all("norm" in name for name in dense)
    theirs = AutoModelForCausalLM.from_pretrained(gemma, dtype=torch.float32).eval()
    with torch.no_grad():
        expected = theirs(torch.tensor([TOKENS])).logits[0].numpy()
    with honed.load(tmp_path / "out") as model:
        assert isinstance(model, LanguageModel)
        found = model.backend.forward(whole(np.array(TOKENS, np.int32)))
    cosines = (found * expected).sum(-1) / np.linalg.norm(found, axis=-1) / np.linalg.norm(expected, axis=-1)
    assert cosines.mean() > least, cosines


def test_what_other_tools_would_read_wrongly_is_not_written_for_them(gemma: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="portable = True: other tools hold the weights of this family"):
        compress(gemma, "int8", out=tmp_path / "out", portable=True, threads=1)
    compress(gemma, "int8", out=tmp_path / "out", threads=1)
    assert "no other tool" in (tmp_path / "out" / "README.md").read_text()
