"""From two models, windows of tokens and settings to trained weights: puts a training together and runs it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from honed.compress.linears import find_linears
from honed.compress.needs import Source
from honed.compress.training.adaptive_rank import AdaptiveRank
from honed.compress.training.base import Trained
from honed.compress.training.fake_quantization import FakeQuantization, Rounding
from honed.compress.training.full import Full
from honed.compress.training.keeping import Keeping
from honed.compress.training.layer_losses import AttentionLoss, HiddenLoss, InnerLosses
from honed.compress.training.low_rank import LowRank
from honed.compress.training.machine import choose_device, choose_dtype, torch_threads
from honed.compress.training.runner import Runner
from honed.compress.training.settings import FullTraining, LowRankTraining, TrainingSettings
from honed.compress.training.trainer import Teacher, Trainer
from honed.compress.training.windows import Windows
from honed.errors import ParameterError
from honed.models.base import Model
from honed.models.recorded import main_graph
from honed.ops.table import Embedding

Floats = NDArray[np.float32]


def train(
    student: Source,
    teacher: Source,
    windows: Sequence[Sequence[int]],
    settings: TrainingSettings,
    *,
    roundings: Mapping[str, Rounding] | None = None,
    folder: Path | None = None,
    threads: int = 1,
) -> dict[str, Floats]:
    """Every weight that the student's model names, trained, in float32.

    windows: texts of one length of tokens. roundings: of weights that are to be stored rounded, by their names in the
    model. folder: where the state of the training and its log are kept, and where it goes on from.

    Errors: ParameterError for windows, names of layers or weights that do not fit, models of different vocabularies and
    a folder of another training; UnsupportedError for a model without logits; MachineError.
    """
    if student.model.dimensions.vocabulary != teacher.model.dimensions.vocabulary:
        sizes = [student.model.dimensions.vocabulary, teacher.model.dimensions.vocabulary]
        raise ParameterError("vocabularies of student and teacher", sizes, "must be the same")
    device = choose_device(settings.device)
    dtype = choose_dtype(settings.precision, device)
    with torch_threads(threads):
        own = Runner(student.model, dtype, checkpointing=settings.checkpointing)
        aim = Runner(teacher.model, dtype)
        taken = Windows(
            windows,
            student.model.dimensions.vocabulary,
            held_out=settings.held_out,
            batch=settings.batch,
            seed=settings.seed,
        )
        started, aimed = read_weights(student, device), read_weights(teacher, device)
        fingerprint = _fingerprint((student.model, started), (teacher.model, aimed), taken, settings, threads)
        # Products alone are narrower: norms and what is looked up stay as they are.
        wide = {op.table.name for op in main_graph(teacher.model).operations(Embedding)}
        narrow = {name: x if x.dim() == 1 or name in wide else x.to(dtype) for name, x in aimed.items()}
        hidden = None if settings.hidden is None else HiddenLoss(settings.hidden, own, aim, device)
        trainer = Trainer(
            settings,
            student=own,
            trained=_method(settings, student.model, started),
            teacher=Teacher(aim, narrow),
            windows=taken,
            inner=InnerLosses(hidden, None if settings.maps is None else AttentionLoss(settings.maps, own, aim)),
            quantization=FakeQuantization(roundings, threads) if roundings else None,
            keeping=Keeping(folder, fingerprint),
            device=device,
        )
        found = trainer.run(folder)
    return {name: weight.cpu().numpy() for name, weight in found.items()}


def read_weights(source: Source, device: torch.device) -> dict[str, Tensor]:
    """All that a model names, decoded to float32."""
    return {
        name: torch.from_numpy(np.array(source.weights[name].decode(), dtype=np.float32)).to(device)
        for name in source.model.weights()
    }


def _method(settings: TrainingSettings, model: Model, weights: Mapping[str, Tensor]) -> Trained:
    if isinstance(settings.train, FullTraining):
        return Full(settings.train, weights)
    matrices = [weight.name for weight in find_linears(model).layers]
    if isinstance(settings.train, LowRankTraining):
        return LowRank(settings.train, weights, matrices, settings.seed)
    return AdaptiveRank(settings.train, weights, matrices, settings.seed)


def _fingerprint(
    student: tuple[Model, Mapping[str, Tensor]],
    teacher: tuple[Model, Mapping[str, Tensor]],
    windows: Windows,
    settings: TrainingSettings,
    threads: int,
) -> str:
    found = hashlib.sha256(settings.model_dump_json().encode())
    found.update(f"{torch.__version__} {threads}".encode())
    for model, weights in (student, teacher):
        found.update(repr(model).encode())
        for weight in weights.values():
            found.update(np.ascontiguousarray(weight.cpu().numpy()).data)
    found.update(windows.tokens.data)
    return found.hexdigest()
