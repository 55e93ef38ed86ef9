"""How a model is trained: settings with their ranges, for whoever trains one. Read without torch.

Not here: what becomes of them, which is in the files that each class names.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from honed.compress.layer_settings import Override, Setting
from honed.compress.settings import Settings

Precision = Literal["auto", "float32", "bfloat16"]
Positive = Annotated[float, Field(gt=0)]


class LogitLoss(Settings):
    """`losses.py`. distance: weight of KL(teacher || student) of the next token, both at `temperature`, times its
    square (Hinton et al. 2015). tokens: weight of the cross entropy on the tokens of the text."""

    distance: Annotated[float, Field(ge=0)] = 1.0
    temperature: Annotated[float, Field(ge=0.1, le=20)] = 1.0
    tokens: Annotated[float, Field(ge=0)] = 0.0

    @model_validator(mode="after")
    def _something(self) -> LogitLoss:
        if not self.distance and not self.tokens:
            raise ValueError("distance and tokens are both 0: one of them must be learned from")
        return self


class LayerLoss(Settings):
    """`layer_losses.py`. What is compared after layers: `layers` are pairs of a layer of the student and one of the
    teacher, each counted from 0; null pairs each of the student with the one as deep in the teacher.

    relative: |student - teacher|^2 over |teacher|^2. cosine: 1 - cos of each row. Where widths differ, a matrix that is
    learned beside it takes the student's rows to the teacher's (Romero et al. 2015).
    """

    weight: Positive
    distance: Literal["relative", "cosine"] = "relative"
    layers: tuple[tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]], ...] | None = None


class MapLoss(Settings):
    """`layer_losses.py`. KL of the student's attention maps, averaged over heads, from the teacher's, of layers in
    pairs as those of `LayerLoss`."""

    weight: Positive
    layers: tuple[tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]], ...] | None = None


class FullTraining(Settings):
    """`full.py`. The weights themselves, those whose name matches the shell pattern `weights`."""

    method: Literal["full"] = "full"
    weights: Annotated[str, Field(min_length=1)] = "*"


class LowRankTraining(Settings):
    """`low_rank.py`. LoRA (Hu et al. 2022): to each matrix of a linear layer that matches is added alpha / rank times a
    product of two factors, which are trained and in the end added for good."""

    method: Literal["lora"]
    weights: Annotated[str, Field(min_length=1)] = "*"
    rank: Annotated[int, Field(ge=1, le=1024)] = 16
    alpha: Positive = 16.0


class AdaptiveRankTraining(Settings):
    """`adaptive_rank.py`. AdaLoRA (Zhang et al. 2023): the product is P diag(e) Q, and triplets that the loss feels
    least are given up until `rank` a matrix are left on average. They start as `initial_rank`, are given up between the
    shares `from_progress` and `to_progress` of the training, and P and Q are held orthogonal by `orthogonality`."""

    method: Literal["adalora"]
    weights: Annotated[str, Field(min_length=1)] = "*"
    rank: Annotated[int, Field(ge=1, le=1024)] = 8
    initial_rank: Annotated[int, Field(ge=1, le=1024)] = 12
    alpha: Positive = 16.0
    from_progress: Annotated[float, Field(ge=0, lt=1)] = 0.1
    to_progress: Annotated[float, Field(gt=0, le=1)] = 0.7
    orthogonality: Annotated[float, Field(ge=0)] = 0.1

    @model_validator(mode="after")
    def _shrinks(self) -> AdaptiveRankTraining:
        if self.initial_rank < self.rank:
            raise ValueError(f"initial_rank {self.initial_rank} must be at least rank {self.rank}")
        if self.to_progress <= self.from_progress:
            raise ValueError(f"to_progress {self.to_progress} must be over from_progress {self.from_progress}")
        return self


Method = Annotated[FullTraining | LowRankTraining | AdaptiveRankTraining, Field(discriminator="method")]


class QuantizedTraining(Setting):
    """`fake_quantization.py`. The form in which the pass behind this one stores linear layers, spelled as there; they
    are rounded to it in every step, and gradients pass through the rounding (Bengio et al. 2013). Scales are found anew
    after every `refresh` steps."""

    overrides: tuple[Override, ...] = ()
    refresh: Annotated[int, Field(ge=1)] = 20


class OptimizerSettings(Settings):
    """`optimizer.py`. rate is the greatest learning rate: it rises over the share `warm_up` of the training and falls
    along a cosine to the share `last` of itself. decay acts on matrices only. Gradients are scaled down to a norm of
    `clip`."""

    name: Literal["adamw", "adafactor"] = "adamw"
    rate: Annotated[float, Field(gt=0, le=1)] = 2e-4
    warm_up: Annotated[float, Field(ge=0, lt=1)] = 0.05
    last: Annotated[float, Field(ge=0, le=1)] = 0.05
    decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    clip: Positive = 1.0


class HeadTraining(Settings):
    """`fit.py`. The head alone, on rows that the encoder below it gives once."""

    method: Literal["head"] = "head"


Fitted = Annotated[HeadTraining | FullTraining | LowRankTraining | AdaptiveRankTraining, Field(discriminator="method")]


class FittingSettings(Settings):
    """`fit.py`: a training on labelled texts, or on dialogues. It ends after `epochs`, or before where `patience`
    judgements in a row were no better than the best one; null for never. A step takes in `batch` texts of about one
    length, `together` tokens at a time at most. It is judged after every `evaluate` steps, null for every epoch.
    teacher: the share of the loss that is KL(teacher || student) at `temperature`, times its square, where there is a
    teacher; the rest is the cross entropy of the labels.
    """

    epochs: Annotated[float, Field(gt=0, le=1000)] = 3.0
    batch: Annotated[int, Field(ge=1, le=4096)] = 32
    together: Annotated[int, Field(ge=1, le=1 << 20)] = 4096
    evaluate: Annotated[int, Field(ge=1)] | None = None
    patience: Annotated[int, Field(ge=1)] | None = 3
    keep: Annotated[int, Field(ge=1)] = 100
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 0
    precision: Precision = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    checkpointing: bool = False
    train: Fitted = FullTraining()
    optimizer: OptimizerSettings = OptimizerSettings()
    teacher: Annotated[float, Field(ge=0, le=1)] = 0.5
    temperature: Annotated[float, Field(ge=0.1, le=20)] = 2.0


class TrainingSettings(Settings):
    """`trainer.py`. Either `steps` or `minutes` ends the training; only with `steps` does it come to the same weights
    each time. A step takes in `batch` windows, `together` at a time. Of all windows `held_out` are kept apart, and the
    weights that do best on them, judged every `evaluate` steps, are the result. The state of the training is kept every
    `keep` steps where there is a folder for it. checkpointing computes a block once more instead of holding what is
    in it. bfloat16 is for products only; auto takes it where the processor multiplies in it.
    """

    steps: Annotated[int, Field(ge=1)] | None = None
    minutes: Annotated[float, Field(gt=0, le=10080)] | None = None
    batch: Annotated[int, Field(ge=1, le=4096)] = 16
    together: Annotated[int, Field(ge=1, le=4096)] = 4
    held_out: Annotated[int, Field(ge=1, le=4096)] = 16
    evaluate: Annotated[int, Field(ge=1)] = 25
    keep: Annotated[int, Field(ge=1)] = 50
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 0
    precision: Precision = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    checkpointing: bool = False
    logits: LogitLoss = LogitLoss()
    hidden: LayerLoss | None = None
    maps: MapLoss | None = None
    train: Method = FullTraining()
    quantized: QuantizedTraining | None = None
    optimizer: OptimizerSettings = OptimizerSettings()

    @model_validator(mode="after")
    def _consistent(self) -> TrainingSettings:
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("give either steps or minutes")
        if self.maps is not None and self.checkpointing:
            raise ValueError("maps are of what checkpointing does not hold; leave one of them out")
        return self
