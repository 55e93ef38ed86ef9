"""What may be asked of a training: its task, its method and numbers. Read without torch.

Not here: what a training makes of them (`compress/training/settings.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from honed.errors import ParameterError

if TYPE_CHECKING:
    from honed.compress.training.settings import FittingSettings

TrainTask = Literal["text-classification", "token-classification", "text-generation"]
Method = Literal["head", "lora", "full"]
TASKS: tuple[TrainTask, ...] = ("text-classification", "token-classification", "text-generation")
METHODS: tuple[Method, ...] = ("head", "lora", "full")
RATES: Mapping[Method, float] = {"head": 3e-3, "lora": 5e-4, "full": 5e-5}
"""The greatest learning rate of each, where none is asked for."""
LEAST_TOKENS = 4


@dataclass(frozen=True)
class TrainOptions:
    """How it is trained; None: as usual for the method. text, label, pair: fields of the data, of words and tags too.
    label_names: of labels that are numbers in the data. max_tokens: of a text. patience 0: the training is never ended
    before its last epoch. teacher_share: of the loss, where there is a teacher."""

    method: Method = "full"
    epochs: float = 3.0
    batch: int = 32
    rate: float | None = None
    rank: int = 16
    patience: int = 3
    evaluate: int | None = None
    seed: int = 0
    max_tokens: int | None = None
    text: str | None = None
    label: str | None = None
    pair: str | None = None
    label_names: Sequence[str] | None = None
    teacher_share: float = 0.5
    temperature: float = 2.0


def as_task(name: str) -> TrainTask:
    """ParameterError for a name that is none."""
    found = next((task for task in TASKS if task == name), None)
    if found is None:
        raise ParameterError("task", name, f"must be one of {', '.join(TASKS)}")
    return found


def as_method(name: str) -> Method:
    """ParameterError for a name that is none."""
    found = next((method for method in METHODS if method == name), None)
    if found is None:
        raise ParameterError("train", name, f"must be one of {', '.join(METHODS)}")
    return found


def check_options(task: TrainTask, options: TrainOptions, *, teacher: object) -> None:
    """ParameterError for what is no task or method, or does not go together."""
    as_task(task)
    as_method(options.method)
    if task == "text-generation":
        for name, value in (("teacher", teacher), ("label_names", options.label_names), ("pair", options.pair)):
            if value is not None:
                raise ParameterError(name, value, "is for labels; leave it out for text-generation")
        if options.method == "head":
            raise ParameterError("train", "head", "must be lora or full for a model that generates")
    if options.max_tokens is not None and options.max_tokens < LEAST_TOKENS:
        raise ParameterError("max_tokens", options.max_tokens, f"must be at least {LEAST_TOKENS}")
    if options.label_names is not None and len(set(options.label_names)) < max(2, len(options.label_names)):
        raise ParameterError("label_names", list(options.label_names), "must be two or more, all different")


def settings_of(options: TrainOptions) -> FittingSettings:
    """As the training takes them. ParameterError for a value out of range."""
    from pydantic import ValidationError

    from honed.compress.training.settings import FittingSettings

    method: dict[str, Any] = {"method": options.method}
    if options.method == "lora":
        method |= {"rank": options.rank, "alpha": float(options.rank)}
    rate = RATES[options.method] if options.rate is None else options.rate
    asked = {
        "epochs": float(options.epochs),
        "batch": options.batch,
        "evaluate": options.evaluate,
        "patience": options.patience or None,
        "seed": options.seed,
        "train": method,
        "optimizer": {"rate": rate, "decay": 0.01, "warm_up": 0.1, "last": 0.0},
        "teacher": float(options.teacher_share),
        "temperature": float(options.temperature),
    }
    names = {"teacher": "teacher_share"}
    try:
        return FittingSettings.model_validate_json(json.dumps(asked))
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][-1])
        raise ParameterError(names.get(name, name), first["input"], first["msg"]) from None
