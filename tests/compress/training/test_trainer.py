"""A step by itself: what it moves, and that gradients of parts add up to those of the whole."""

from __future__ import annotations

import torch

from honed.compress.training.full import Full
from honed.compress.training.keeping import Keeping
from honed.compress.training.layer_losses import InnerLosses
from honed.compress.training.runner import Runner
from honed.compress.training.settings import FullTraining, OptimizerSettings, TrainingSettings
from honed.compress.training.trainer import Teacher, Trainer
from honed.compress.training.windows import Windows
from training_models import disturbed, some_windows, tensors, tiny_state


def after_a_step(together: int) -> dict[str, torch.Tensor]:
    state = tiny_state()
    settings = TrainingSettings(
        steps=1, batch=6, together=together, held_out=1, optimizer=OptimizerSettings(clip=1e9), precision="float32"
    )
    runner = Runner(state.model, torch.float32)
    aims = {name: weight.detach() for name, weight in tensors(state).items()}
    started = {name: weight.detach() for name, weight in tensors(disturbed(state, 0.2)).items()}
    trained = Full(FullTraining(), started)
    Trainer(
        settings,
        student=runner,
        trained=trained,
        teacher=Teacher(runner, aims),
        windows=Windows(some_windows(9), 97, held_out=1, batch=6, seed=0),
        inner=InnerLosses(None, None),
        quantization=None,
        keeping=Keeping(None, ""),
        device=torch.device("cpu"),
    )._one_step(0.5)
    found = {}
    for name, weight in trained.parameters.items():
        assert weight.grad is not None, name
        found[name] = weight.grad
    return found


def test_windows_in_parts_give_the_gradient_of_all_at_once() -> None:
    whole, parts = after_a_step(6), after_a_step(4)  # the second part is smaller than the first
    for name, gradient in whole.items():
        size = float(gradient.abs().max())
        torch.testing.assert_close(parts[name], gradient, atol=1e-4 * size, rtol=1e-3)
