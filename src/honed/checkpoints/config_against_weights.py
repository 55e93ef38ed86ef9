"""Whether a config and the weights beside it tell the same story, found out from shapes alone.

A config is bounded by its model file before any memory is taken; then every weight that the model needs must be there
in its shape, and no layer may be left over. Not here: values (`finite_weights.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.errors import FormatError, UnsupportedError
from honed.models.registry import FAMILIES, family_of, read_any
from honed.models.stored import Forms


def check_consistency(
    config: Mapping[str, Any],
    config_path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    weights_path: Path,
    forms: Forms | None = None,
) -> frozenset[str]:
    """The names of the tensors that the model uses; `shapes` are those that are there, by Hugging Face name.

    Others may be left over, but not whole layers. `forms` are those of the weights that lie otherwise than the model
    names them.

    Errors: FormatError naming the field or the weight; UnsupportedError for an architecture without a model file,
    which a checkpoint's own code (`auto_map`) does not change, since it is never run.
    """
    refuse_remote_code(config, config_path)
    family = family_of(config, config_path)
    needed = read_any(config, config_path).weights()
    layers = config[family.layers_field]
    of_layer = re.compile(rf"{re.escape(family.layer_prefix)}([0-9]+)\.")
    tensors = [forms[name].tensor if forms and name in forms else weight for name, weight in needed.items()]
    for weight in tensors:
        name = weight.name
        found = shapes.get(name)
        if found is None:
            raise FormatError(weights_path, name, f"is missing; {config_path.name} describes it as {weight.shape}")
        if tuple(found) != tuple(weight.shape):
            raise FormatError(weights_path, name, f"has shape {found}; {config_path.name} describes {weight.shape}")
    for name in shapes:
        match = of_layer.match(name)
        if match is not None and int(match[1][:9]) >= layers:
            raise FormatError(config_path, family.layers_field, f"is {layers}, but the weights hold {name}")
    return frozenset(tensor.name for tensor in tensors)


def refuse_remote_code(config: Mapping[str, Any], path: Path) -> None:
    """UnsupportedError for an architecture that only a checkpoint's own code describes."""
    kind = config.get("model_type")
    if config.get("auto_map") and not (isinstance(kind, str) and kind in FAMILIES):
        raise UnsupportedError(
            f"{path}: auto_map: the model needs code from its repository; honed never runs that, "
            f"and has no model file for model_type {kind!r:.60}"
        )
