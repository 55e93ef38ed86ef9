"""The options of Ollama's API as the fields of a `Call`.

Names and meanings follow its reference of Modelfile parameters. Options that say how a model is run are accepted and
ignored: that is said when the server is started.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from honed.errors import ParameterError
from honed.parameters import real_number, whole_number
from honed.server.request_body import MOST_STOPS, Object, list_at, sampling_of, stops_of, text_at, warn_once

_REALS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "min_p": "min_p",
    "repeat_penalty": "repetition_penalty",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}
# What would change the text if it were not so.
_NEUTRAL: Mapping[str, tuple[float, ...]] = {
    "mirostat": (0,),
    "tfs_z": (1,),
    "typical_p": (1,),
}
_OF_RUNNING = frozenset(
    {
        "embedding_only",
        "f16_kv",
        "logits_all",
        "low_vram",
        "main_gpu",
        "mirostat_eta",
        "mirostat_tau",
        "num_batch",
        "num_gpu",
        "num_keep",
        "num_thread",
        "numa",
        "penalize_newline",
        "use_mlock",
        "use_mmap",
        "vocab_only",
    }
)
_KNOWN = {*_REALS, *_NEUTRAL, *_OF_RUNNING, "num_ctx", "num_predict", "repeat_last_n", "seed", "stop", "top_k"}


def call_fields(options: Object | None) -> dict[str, Any]:
    """max_tokens, sampling and stop. ParameterError names the option that is out of its range or not supported."""
    given = {name: value for name, value in (options or {}).items() if value is not None}
    for name in given.keys() - _KNOWN:
        warn_once(f"the option {name[:80]} of a request is not known and is ignored")
    for name, neutral in _NEUTRAL.items():
        if name in given and given[name] not in neutral:
            raise ParameterError(f"options.{name}", given[name], "is not supported; leave it out")
    if "num_ctx" in given:
        warn_once("the option num_ctx of requests is ignored: the context is that of the server (--context)")
    _check_range(given)
    sampling = [
        (field, f"options.{name}", real_number(f"options.{name}", given[name]))
        for name, field in _REALS.items()
        if name in given
    ]
    whole = {name: _whole(given, name) for name in ("top_k", "seed", "num_predict") if name in given}
    if "top_k" in whole:
        sampling.append(("top_k", "options.top_k", max(whole["top_k"], 0)))
    if whole.get("seed", -1) >= 0:  # below it the seed is left to chance
        sampling.append(("seed", "options.seed", whole["seed"]))
    return {
        "max_tokens": _most_tokens(whole.get("num_predict", -1)),
        "sampling": sampling_of(sampling),
        "stop": _stops(given.get("stop")),
    }


def _whole(given: Object, name: str) -> int:
    """Clients of languages without whole numbers send them as 40.0."""
    value = given[name]
    return whole_number(f"options.{name}", int(value) if isinstance(value, float) and value.is_integer() else value)


def _most_tokens(count: int) -> int | None:
    """-1 and -2: as far as the context goes."""
    if count in (-1, -2):
        return None
    return whole_number("options.num_predict", count, 1, (1 << 31) - 1)


def _stops(value: object) -> tuple[str, ...]:
    if value is None or isinstance(value, str):
        return stops_of("options.stop", value or None)
    texts = [text_at("options.stop", text) for text in list_at("options.stop", value)]
    if len(texts) > MOST_STOPS:
        raise ParameterError("options.stop", texts, f"must hold at most {MOST_STOPS} texts")
    return stops_of("options.stop", texts)


def _check_range(given: Object) -> None:
    """A repetition penalty counts all of the text here: a shorter range of it would give another text."""
    last = given.get("repeat_last_n", -1)
    if last == 0:
        given.pop("repeat_penalty", None)
    elif last != -1 and given.get("repeat_penalty", 1) != 1:
        raise ParameterError("options.repeat_last_n", last, "is not supported beside repeat_penalty; give -1, or 0")
