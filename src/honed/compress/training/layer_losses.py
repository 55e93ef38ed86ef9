"""What is learned from inside of a model: the rows behind its layers (Romero et al. 2015; Sun et al. 2019), and its
attention maps (Jiao et al. 2020)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from honed.compress.training.runner import Passed, Runner
from honed.compress.training.settings import LayerLoss, MapLoss
from honed.errors import ParameterError

Pairs = tuple[tuple[int, int], ...]
"""Layers of the student, each with one of the teacher."""
_SMALL = 1e-6


def pair_layers(asked: Pairs | None, student: int, teacher: int, field: str) -> Pairs:
    """For models of so many layers. None pairs each with the one as deep, the last with the last. ParameterError where
    a layer is not there."""
    if asked is None:
        return tuple((layer, (layer + 1) * teacher // student - 1) for layer in range(student) if teacher >= student)
    for own, aim in asked:
        if own >= student or aim >= teacher:
            raise ParameterError(f"{field}.layers", [own, aim], f"must be below {student} and {teacher} layers")
    return asked


class HiddenLoss:
    """Compares rows behind layers. `projections` are learned, one for each pair whose widths differ, and start as the
    identity, cut off."""

    def __init__(self, settings: LayerLoss, student: Runner, teacher: Runner, device: torch.device) -> None:
        self._settings = settings
        self._pairs = pair_layers(settings.layers, student.layers, teacher.layers, "hidden")
        if not self._pairs:
            raise ParameterError("hidden.layers", None, "must be named where the student has more layers")
        self.of_student = frozenset(own for own, _ in self._pairs)
        self.of_teacher = frozenset(aim for _, aim in self._pairs)
        self.projections: dict[str, Tensor] = {}
        for own, aim in self._pairs:
            if student.widths[own] != teacher.widths[aim]:
                matrix = torch.eye(teacher.widths[aim], student.widths[own], device=device)
                self.projections[f"{own} to {aim}"] = matrix.requires_grad_()

    def loss(self, student: Mapping[int, Tensor], teacher: Mapping[int, Tensor]) -> Tensor:
        """The mean over pairs, times its weight. Rows by layer."""
        found = []
        for own, aim in self._pairs:
            rows, aims = student[own].float(), teacher[aim].float()
            matrix = self.projections.get(f"{own} to {aim}")
            rows = rows if matrix is None else torch.nn.functional.linear(rows, matrix)
            if self._settings.distance == "cosine":
                found.append(1 - torch.nn.functional.cosine_similarity(rows, aims, dim=-1, eps=_SMALL).mean())
            else:
                found.append((rows - aims).square().sum() / aims.square().sum().clamp(min=_SMALL))
        return torch.stack(found).mean() * self._settings.weight


class AttentionLoss:
    """Compares attention maps, each the mean over heads, which may differ in number."""

    def __init__(self, settings: MapLoss, student: Runner, teacher: Runner) -> None:
        self._weight = settings.weight
        self._pairs = pair_layers(settings.layers, student.layers, teacher.layers, "maps")
        if not self._pairs:
            raise ParameterError("maps.layers", None, "must be named where the student has more layers")

    def loss(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """The mean KL(teacher || student) of what a row attends to, times its weight."""
        found = []
        for own, aim in self._pairs:
            wanted, given = teacher[aim], student[own].clamp(min=_SMALL)
            terms = wanted * (wanted.clamp(min=_SMALL).log() - given.log())
            found.append(terms.sum(-1).mean())
        return torch.stack(found).mean() * self._weight


class InnerLosses:
    """Those that are asked for, and what has to be looked at for them."""

    def __init__(self, hidden: HiddenLoss | None, maps: AttentionLoss | None) -> None:
        self._hidden, self._maps = hidden, maps
        self.of_student = frozenset[int]() if hidden is None else hidden.of_student
        self.of_teacher = frozenset[int]() if hidden is None else hidden.of_teacher
        self.maps = maps is not None
        self.projections: Mapping[str, Tensor] = {} if hidden is None else hidden.projections

    def loss(self, student: Passed, teacher: Passed) -> Tensor | None:
        found = None
        if self._hidden is not None:
            found = self._hidden.loss(student.layers, teacher.layers)
        if self._maps is not None:
            of_maps = self._maps.loss(student.maps, teacher.maps)
            found = of_maps if found is None else found + of_maps
        return found
