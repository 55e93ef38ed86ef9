"""From the `model_type` of a config to its model: one line a family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from honed.errors import UnsupportedError
from honed.models.base import Config, DecoderModel
from honed.models.config import Fields
from honed.models.llama import Llama
from honed.models.mistral import Mistral
from honed.models.qwen2 import Qwen2
from honed.models.qwen3 import Qwen3

MODELS: dict[str, Callable[[Config, Path | str], DecoderModel]] = {
    "llama": Llama.from_config,
    "mistral": Mistral.from_config,
    "qwen2": Qwen2.from_config,
    "qwen3": Qwen3.from_config,
}


def read_model(config: Config, source: Path | str = "config") -> DecoderModel:
    """The model that a config describes; `source` is the file named in errors.

    Errors: UnsupportedError for an unknown model_type, activation or kind of rotary scaling; FormatError for a field
    that is missing, of the wrong type, out of bounds or at odds with another. No memory is taken for weights.
    """
    kind = Fields(config, source).text("model_type")
    if kind not in MODELS:
        import difflib

        near = difflib.get_close_matches(kind, MODELS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UnsupportedError(
            f"{source}: model_type {kind!r} is not supported; {hint}supported are {', '.join(sorted(MODELS))}"
        )
    return MODELS[kind](config, source)
