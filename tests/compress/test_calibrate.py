"""Calibration statistics against forward hooks in transformers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from honed.compress.calibrate import collect_inputs
from honed.errors import ParameterError
from honed.models.registry import read_model

WINDOWS = [[3, 4, 5, 6, 7, 8, 9, 10, 11], [12, 3, 3, 14, 15, 16, 17, 18, 19]]


def test_mean_squares_equal_those_of_hooks(tiny_llama: Path) -> None:
    reference = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    weights = {name: value.detach().numpy() for name, value in reference.named_parameters()}
    expected: dict[str, np.ndarray] = {}

    def hook(name: str):  # type: ignore[no-untyped-def]
        def note(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            expected[name] = inputs[0].double().square().mean(dim=(0, 1)).numpy()

        return note

    for name, module in reference.named_modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(hook(name))
    with torch.no_grad():
        reference(torch.tensor(WINDOWS))

    model = read_model(json.loads((tiny_llama / "config.json").read_text()))
    statistics = collect_inputs(model, weights.__getitem__, WINDOWS)

    assert statistics.tokens == 18
    tied_head = expected.pop("lm_head")
    np.testing.assert_allclose(statistics.mean_square["model.embed_tokens.weight"], tied_head, rtol=1e-4)
    assert set(statistics.mean_square) == {f"{name}.weight" for name in expected} | {"model.embed_tokens.weight"}
    for name, value in expected.items():
        np.testing.assert_allclose(statistics.mean_square[f"{name}.weight"], value, rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("windows", [[], [[]], [[1, 2], [3]], [[1, -1]], [[1, 10**6]]])
def test_bad_windows_are_refused(tiny_llama: Path, windows: list[list[int]]) -> None:
    model = read_model(json.loads((tiny_llama / "config.json").read_text()))
    nothing: dict[str, np.ndarray] = {}
    with pytest.raises(ParameterError, match="calibration"):
        collect_inputs(model, nothing.__getitem__, windows)
