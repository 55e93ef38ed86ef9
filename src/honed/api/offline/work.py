"""What is made of a row: a reply to its prompt, the vector of its text, or what a task of `honed.pipeline` says of it
(`task_work.py`). A row that cannot be run has an error for a result, and the others go on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from honed.api.embed import TextEncoder
from honed.api.language_model import LanguageModel
from honed.api.offline.task_work import ROWS, task_work, usual_task
from honed.api.pipelines.table import ALIASES
from honed.errors import HonedError, MachineError, ParameterError, quoted
from honed.records import dataclass
from honed.runtime.options import SamplingOptions

if TYPE_CHECKING:
    from honed.api.prompt import Prompt

TASKS = {"generate": LanguageModel, "embed": TextEncoder}
ADDED = {
    "generate": ("output", "finish_reason", "prompt_tokens", "completion_tokens", "error"),
    "embed": ("embedding", "error"),
    **{task: (*row.adds, "error") for task, row in ROWS.items()},
}
"""Fields of the results of each task."""
_TEXTS = {"generate": ("messages", "prompt", "text"), "embed": ("text", "prompt", "sentence", "input")}
Work = Callable[[int, Mapping[str, Any]], dict[str, Any]]
"""The number of a row and its fields to its result. Called from several threads at once."""


@dataclass(frozen=True)
class GenerateOptions:
    """How prompts are replied to. raw: without the chat template. seed: of the first row, the next one has the next, so
    that equal prompts have different replies. column: the field that holds the prompt; None: the first that is there of
    messages, prompt, text."""

    max_tokens: int = 256
    sampling: SamplingOptions = SamplingOptions()
    stop: tuple[str, ...] = ()
    raw: bool = False
    system: str | None = None
    column: str | None = None


def task_of(model: LanguageModel | TextEncoder, task: str | None) -> str:
    """The task that is asked for, or the one that a model is for. ParameterError where it cannot do it."""
    kind = next(name for name, made in TASKS.items() if isinstance(model, made))
    if task is None:
        return (usual_task(model) or kind) if isinstance(model, TextEncoder) else kind
    named = {"text-generation": "generate"}.get(task) or ALIASES.get(task, task)
    if named in ROWS:
        return named
    if named not in TASKS:
        raise ParameterError("task", task, f"must be one of {', '.join((*TASKS, *ROWS))}")
    if named != kind:
        raise ParameterError("task", task, f"{model.name} is for {kind}")
    return named


def work_of(
    model: LanguageModel | TextEncoder,
    options: GenerateOptions,
    task: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Work:
    """The work of a model on one row. task: as `task_of` gives it. settings: what calls of its pipeline take; generate
    and embed have none. Errors: those of `honed.pipeline` where the model cannot do the task."""
    run: Work
    if task in ROWS:
        assert task is not None
        made = task_work(model, task, settings or {}, options.column)
        run = lambda row, fields: made(fields)  # noqa: E731 - as those below
    elif settings:
        raise ParameterError("parameter", next(iter(settings)), "generate and embed have options of their own")
    elif isinstance(model, LanguageModel):
        generator = model
        run = lambda row, fields: _reply(generator, options, row, fields)  # noqa: E731
    else:
        encoder = model
        run = lambda row, fields: _vector(encoder, options, fields)  # noqa: E731

    def guarded(row: int, fields: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return run(row, fields)
        except MachineError:
            raise
        except HonedError as error:
            return {"error": str(error)}

    return guarded


def _reply(model: LanguageModel, options: GenerateOptions, row: int, fields: Mapping[str, Any]) -> dict[str, Any]:
    prompt = _prompt(model, options, fields)
    sampling = options.sampling
    if sampling.seed is not None:
        sampling = replace(sampling, seed=(sampling.seed + row) % 2**64)
    found = model.generate(prompt, max_tokens=options.max_tokens, sampling=sampling, stop=options.stop)
    return {
        "output": found.text,
        "finish_reason": found.finish_reason,
        "prompt_tokens": found.prompt_tokens,
        "completion_tokens": len(found.tokens),
    }


def _prompt(model: LanguageModel, options: GenerateOptions, fields: Mapping[str, Any]) -> Prompt:
    given = _given("generate", options, fields)
    if isinstance(given, str) and (options.raw or (model.tokenizer.chat_template is None and options.system is None)):
        return given
    messages = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(messages, list) or not messages:
        raise ParameterError("prompt", given, "must be a text, or a list of messages")
    first = [] if options.system is None else [{"role": "system", "content": options.system}]
    return [*first, *messages]


def _vector(encoder: TextEncoder, options: GenerateOptions, fields: Mapping[str, Any]) -> dict[str, Any]:
    given = _given("embed", options, fields)
    if not isinstance(given, str):
        raise ParameterError("text", given, "must be a text")
    return {"embedding": [float(value) for value in encoder.embed([given])[0]]}


def _given(task: str, options: GenerateOptions, fields: Mapping[str, Any]) -> Any:
    names = _TEXTS[task] if options.column is None else (options.column,)
    for name in names:
        if fields.get(name) is not None:
            return fields[name]
    shown = ", ".join(map(quoted, list(fields)[:8])) or "none"
    raise ParameterError("column", " or ".join(names), f"is no field of the row, which has {shown}; name one")
