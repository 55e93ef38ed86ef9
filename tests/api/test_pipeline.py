"""Making pipelines. What each does is tested in tests/api/pipelines/."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import honed
from headed_models import headed
from honed.errors import ParameterError, UnsupportedError


def test_a_model_that_cannot_do_it_says_what_it_can(tiny_llama: Path) -> None:
    with pytest.raises(UnsupportedError, match="generates"):
        honed.pipeline("fill-mask", tiny_llama)
    with pytest.raises(UnsupportedError, match="is an encoder"):
        honed.pipeline("text-generation", headed("bert", "ForMaskedLM"))


def test_loaded_models_settings_and_devices(tiny_llama: Path) -> None:
    with honed.load(headed("bert", "ForMaskedLM")) as model:
        made = honed.pipeline("fill-mask", model, top_k=2)
        assert len(made("Ann [MASK]")) == 2 and made.model is model
        assert made.tokenizer is model.tokenizer
    with honed.pipeline(model=tiny_llama, max_new_tokens=2, do_sample=False, device="cpu", torch_dtype="float32") as it:
        assert it("the of")[0]["generated_text"].startswith("the of")
    settings: dict[str, Any]
    for settings, named in (({"device": "cuda"}, "device"), ({"task": "paint"}, "task"), ({"model": None}, "model")):
        with pytest.raises(ParameterError, match=named):
            honed.pipeline(**{"task": "fill-mask", "model": "x", **settings})  # type: ignore[arg-type]
