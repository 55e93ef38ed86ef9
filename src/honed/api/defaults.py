"""How a reply is sampled when the caller leaves it open. Not here: what the settings do (`runtime/sampling.py`).

A setting that the caller gives is used. The others come from the checkpoint's generation_config.json where that asks
for sampling (do_sample true), as its makers tested it. Otherwise decoding is greedy, as transformers does it: the same
prompt gives the same reply. But who gives top_k, top_p, min_p or a seed wants to sample, so temperature is 1 then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from honed.errors import FormatError, ParameterError
from honed.runtime.request import GREEDY, Sampling

_FIELDS = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")


def read_defaults(checkpoint: Path) -> Sampling:
    """Sampling of generation_config.json beside the weights; greedy where there is none, or for a single file.

    A malformed file or a value out of range: FormatError.
    """
    path = checkpoint / "generation_config.json"
    if not path.is_file():
        return GREEDY
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise FormatError(path, "file", f"is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise FormatError(path, "file", "must hold a JSON object")
    return _from_config(path, config)


def _from_config(path: Path, config: Mapping[str, Any]) -> Sampling:
    given: dict[str, Any] = {}
    for name in _FIELDS:
        value = config.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int if name == "top_k" else int | float):
            raise FormatError(path, name, f"must be a number, found {value!r}")
        given[name] = value
    sampled = config.get("do_sample") is True
    if not sampled:
        given = {name: value for name, value in given.items() if name == "repetition_penalty"}
    try:
        return replace(Sampling() if sampled else GREEDY, **given)
    except ParameterError as error:
        raise FormatError(path, error.parameter, str(error)) from error


def resolve_sampling(
    defaults: Sampling,
    *,
    temperature: float | None,
    top_k: int | None,
    top_p: float | None,
    min_p: float | None,
    repetition_penalty: float | None,
    seed: int | None,
) -> Sampling:
    """The caller's settings over the defaults. None leaves a setting open; out of range: ParameterError."""
    if temperature is None and defaults.temperature == 0 and (top_k, top_p, min_p, seed) != (None,) * 4:
        temperature = 1.0
    given: dict[str, Any] = {
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "seed": seed,
    }
    return replace(defaults, **{name: value for name, value in given.items() if value is not None})
