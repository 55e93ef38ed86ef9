"""The public API, nothing else: names are looked up at their first use, so that importing honed costs nothing.

import honed

with honed.load("smollm2") as model:
    print(model.generate("The capital of France is", max_tokens=24).text)
"""

import sys

# Nothing more is imported here, not even the future of annotations: Ctrl-C is not answered before the command line
# has begun to run.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from honed import errors as errors
    from honed.api.compress import compress as compress
    from honed.api.embed import TextEncoder as TextEncoder
    from honed.api.evaluate import evaluate as evaluate
    from honed.api.evaluate_encoder import evaluate_encoder as evaluate_encoder
    from honed.api.export import export as export
    from honed.api.generation import Generation as Generation
    from honed.api.language_model import LanguageModel as LanguageModel
    from honed.api.load import load as load
    from honed.api.pipeline import pipeline as pipeline
    from honed.api.pipelines.text_generation import set_seed as set_seed
    from honed.api.sensitivity import sensitivity as sensitivity
    from honed.api.train import train as train
    from honed.api.train_options import TrainOptions as TrainOptions
    from honed.backends.options import RunOptions as RunOptions
    from honed.runtime.options import SamplingOptions as SamplingOptions
    from honed.runtime.request import Sampling as Sampling
    from honed.version import __version__ as __version__

_HOMES = {
    "__version__": "honed.version",
    "RunOptions": "honed.backends.options",
    "Sampling": "honed.runtime.request",
    "SamplingOptions": "honed.runtime.options",
    "Generation": "honed.api.generation",
    "LanguageModel": "honed.api.language_model",
    "TextEncoder": "honed.api.embed",
    "TrainOptions": "honed.api.train_options",
    "compress": "honed.api.compress",
    "evaluate": "honed.api.evaluate",
    "evaluate_encoder": "honed.api.evaluate_encoder",
    "export": "honed.api.export",
    "load": "honed.api.load",
    "pipeline": "honed.api.pipeline",
    "sensitivity": "honed.api.sensitivity",
    "set_seed": "honed.api.pipelines.text_generation",
    "train": "honed.api.train",
}

__all__ = [
    "Generation",
    "LanguageModel",
    "RunOptions",
    "Sampling",
    "SamplingOptions",
    "TextEncoder",
    "TrainOptions",
    "__version__",
    "compress",
    "errors",
    "evaluate",
    "evaluate_encoder",
    "export",
    "load",
    "pipeline",
    "sensitivity",
    "set_seed",
    "train",
]


def __getattr__(name: str) -> "Any":
    import importlib

    if name == "errors":
        return importlib.import_module("honed.errors")
    if name not in _HOMES:
        raise AttributeError(f"module 'honed' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


class _Package(type(sys)):  # type: ignore[misc]
    """Keeps `honed.compress` and `honed.evaluate` the verbs that they are documented to be.

    Both are names of folders too, and importing a folder binds it in its parent. `from honed.compress.x import y`
    does not look there, so nothing is lost.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, type(sys))):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
