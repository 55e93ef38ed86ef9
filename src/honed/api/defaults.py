"""How a reply is sampled when the caller leaves it open. Not here: what the settings do (`runtime/sampling.py`).

The settings come from the checkpoint's generation_config.json where that asks for sampling (do_sample true), as its
makers tested it. Otherwise decoding is greedy, as transformers does it: the same prompt gives the same reply. What the
caller does not leave open is put over these by `SamplingOptions.over` (`runtime/options.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from honed.checkpoints.base import Checkpoint, Listed
from honed.checkpoints.json_files import CONFIG_BYTES, read_object
from honed.checkpoints.members import find_member
from honed.errors import quoted
from honed.notes import note
from honed.runtime.request import GREEDY, Sampling

_FILE = "generation_config.json"
_PENALTIES = ("repetition_penalty", "presence_penalty", "frequency_penalty")
"""Which hold for greedy decoding too."""
_FIELDS = ("temperature", "top_k", "top_p", "min_p", *_PENALTIES)
_MOST_TOP_K = 1 << 22
_MOST_TEMPERATURE = 2.0
_MOST_PENALTY = 10.0
_MOST_ADDED = 2.0
"""Of presence and frequency penalties, either way."""
# What other tools do with these settings is not done here; values that ask for nothing.
_NOT_APPLIED: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(
        ("num_beams", "num_beam_groups", "typical_p", "guidance_scale", "encoder_repetition_penalty"), (1,)
    ),
    **dict.fromkeys(("no_repeat_ngram_size", "epsilon_cutoff", "eta_cutoff", "penalty_alpha"), (0,)),
    **dict.fromkeys(("encoder_no_repeat_ngram_size", "top_h"), (0,)),
    **dict.fromkeys(("suppress_tokens", "begin_suppress_tokens", "bad_words_ids", "sequence_bias"), ([], {})),
    **dict.fromkeys(("forced_bos_token_id", "forced_eos_token_id", "exponential_decay_length_penalty"), ()),
}


def read_defaults(checkpoint: Path) -> Sampling:
    """Sampling of generation_config.json beside the weights; greedy where there is none, or for a single file.

    What other tools write and this one cannot follow is clamped or left out, and noted: it is no reason not to run a
    model. Errors: SourceError and FormatError where the file cannot be read or is no JSON object.
    """
    path = find_member(checkpoint, _FILE)
    if path is None:
        return GREEDY
    return _from_config(path, read_object(path, CONFIG_BYTES, duplicates="note"))


def defaults_of(checkpoint: Checkpoint) -> Sampling:
    """`read_defaults` of an open checkpoint, unless the file is there but not one of the checkpoint's own."""
    if isinstance(checkpoint, Listed) and not checkpoint.lists("generation_config.json"):
        return GREEDY
    return read_defaults(checkpoint.path)


def _from_config(path: Path, config: Mapping[str, Any]) -> Sampling:
    sampled = config.get("do_sample") is True
    given: dict[str, Any] = {}
    for name in _FIELDS if sampled else _PENALTIES:
        if config.get(name) is not None:
            value, remark = _usable(name, config[name])
            if remark:
                note(f"{path}: {name} is {quoted(config[name])}; {remark}")
            if value is not None:
                given[name] = value
    others = [
        name
        for name, neutral in _NOT_APPLIED.items()
        if config.get(name) is not None and config[name] is not False and config[name] not in neutral
    ]
    if others:
        note(f"{path}: {', '.join(others)}: not applied here")
    return replace(Sampling() if sampled else GREEDY, **given)


def _usable(name: str, value: object) -> tuple[float | None, str]:
    """A value that `Sampling` takes, None where the setting is left out; and what is to be said of it, if anything."""
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return None, "it must be a number, and is ignored"
    if name == "top_k":
        if isinstance(value, float) and not (math.isfinite(value) and value.is_integer()):
            return None, "it must be an integer, and is ignored"
        if value < 0:  # as some tools spell it
            return 0, "it is taken as 0, which keeps all tokens"
        return (int(value), "") if value <= _MOST_TOP_K else (0, "it is taken as 0, which keeps all tokens")
    if name == "temperature":
        if value > _MOST_TEMPERATURE:
            return _MOST_TEMPERATURE, f"it is taken as {_MOST_TEMPERATURE:g}, the most there is"
        return (float(value), "") if value >= 0 else (None, "it must not be negative, and is ignored")
    if name == "top_p":
        if value > 1:
            return 1.0, "it is taken as 1, which keeps all tokens"
        return (float(value), "") if value > 0 else (None, "it must be over 0, and is ignored")
    if name == "min_p":
        return (float(value), "") if 0 <= value <= 1 else (None, "it must be from 0 to 1, and is ignored")
    if name in ("presence_penalty", "frequency_penalty"):
        clamped = float(max(-_MOST_ADDED, min(value, _MOST_ADDED)))
        return clamped, "" if clamped == value else f"it is taken as {clamped:g}, as far as they go"
    if 0 < value <= _MOST_PENALTY:
        return float(value), ""
    return None, f"it must be over 0 and at most {_MOST_PENALTY:g}, and is ignored"
