"""Whether a config and the weights beside it tell the same story, found out from shapes alone.

A config is bounded by its model file before any memory is taken; then every weight that the model needs must be there
in its shape, and no layer may be left over. Not here: values (`finite.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.errors import FormatError, UnsupportedError
from honed.models.registry import MODELS, read_model

_LAYER = re.compile(r"model\.layers\.([0-9]+)\.")


def check_consistency(
    config: Mapping[str, Any], config_path: Path, shapes: Mapping[str, tuple[int, ...]], weights_path: Path
) -> frozenset[str]:
    """The names of the weights that the model uses; `shapes` are those that are there, by Hugging Face name.

    Others may be left over, but not whole layers.

    Errors: FormatError naming the field or the weight; UnsupportedError for an architecture without a model file,
    which a checkpoint's own code (`auto_map`) does not change, since it is never run.
    """
    _refuse_remote_code(config, config_path)
    needed = read_model(config, config_path).weights()
    layers = config["num_hidden_layers"]
    for name, weight in needed.items():
        found = shapes.get(name)
        if found is None:
            raise FormatError(weights_path, name, f"is missing; {config_path.name} describes it as {weight.shape}")
        if tuple(found) != tuple(weight.shape):
            raise FormatError(weights_path, name, f"has shape {found}; {config_path.name} describes {weight.shape}")
    for name in shapes:
        match = _LAYER.match(name)
        if match is not None and int(match[1][:9]) >= layers:
            raise FormatError(config_path, "num_hidden_layers", f"is {layers}, but the weights hold {name}")
    return frozenset(needed)


def _refuse_remote_code(config: Mapping[str, Any], path: Path) -> None:
    kind = config.get("model_type")
    if config.get("auto_map") and not (isinstance(kind, str) and kind in MODELS):
        raise UnsupportedError(
            f"{path}: auto_map: the model needs code from its repository; honed never runs that, "
            f"and has no model file for model_type {kind!r:.60}"
        )
