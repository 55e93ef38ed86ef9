"""`honed.pipeline`: a task and a model, in the manner of transformers, so that a program runs by changing an import.

Names of tasks, arguments and results are those of transformers where it has the task. Not here: what each does
(`api/pipelines/`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from honed.api.embed import TextEncoder
from honed.api.language_model import LanguageModel
from honed.api.load import load
from honed.api.pipelines.table import pipeline_class, task_name
from honed.backends.options import RunKeywords, RunOptions
from honed.errors import ParameterError

if TYPE_CHECKING:
    from honed.api.pipelines.base import Pipeline

_HERE = ("cpu", "auto", "-1", "None")


def pipeline(
    task: str = "text-generation",
    model: str | Path | LanguageModel | TextEncoder | None = None,
    *,
    revision: str | None = None,
    device: object = None,
    device_map: object = None,
    torch_dtype: object = None,
    **given: Any,
) -> Pipeline[Any]:
    """A pipeline over a model that is given by any name that `honed.load` takes, or that is loaded already.

    task: text-generation, text-classification (sentiment-analysis), zero-shot-classification, token-classification
    (ner), question-answering, fill-mask, feature-extraction, sentence-similarity, text-ranking (rerank),
    text-infilling (infill). torch_dtype, or dtype, may be a name or a dtype of torch. device, device_map: cpu, auto or
    -1, since models run on the processor here. What else may be given is how the model is run (`honed.RunOptions`), and
    what calls of the pipeline take, for all of them. Errors: as of `honed.load`; ParameterError for another task or
    device, UnsupportedError for a model that cannot do the task.
    """
    kind = pipeline_class(task_name(task))
    for name, place in (("device", device), ("device_map", device_map)):
        if str(place) not in _HERE:
            raise ParameterError(name, place, "models run on the processor here; must be cpu, or left out")
    settings = {name: value for name, value in given.items() if name not in RunKeywords.__annotations__}
    if isinstance(model, LanguageModel | TextEncoder):
        return kind(model, settings)
    if model is None:
        raise ParameterError("model", model, "must name a model, for instance smollm2")
    run = {name: value for name, value in given.items() if name not in settings}
    dtype = run.get("dtype") if torch_dtype is None else torch_dtype
    if dtype is not None:
        run["dtype"] = str(dtype).removeprefix("torch.")
    found = load(model, RunOptions(**run), revision=revision)
    try:
        return kind(found, settings)
    except BaseException:
        found.close()
        raise
