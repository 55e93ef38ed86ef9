"""What is made of a row: a reply to its prompt, or the vector of its text. A row that cannot be run has an error for a
result, and the others go on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from honed.api.embed import TextEncoder
from honed.api.language_model import LanguageModel
from honed.errors import HonedError, MachineError, ParameterError, quoted
from honed.records import dataclass
from honed.runtime.options import SamplingOptions

if TYPE_CHECKING:
    from honed.api.prompt import Prompt

TASKS = {"generate": LanguageModel, "embed": TextEncoder}
ADDED = {
    "generate": ("output", "finish_reason", "prompt_tokens", "completion_tokens", "error"),
    "embed": ("embedding", "error"),
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
    if task is not None and task not in TASKS:
        raise ParameterError("task", task, f"must be one of {', '.join(TASKS)}")
    if task is not None and task != kind:
        raise ParameterError("task", task, f"{model.name} is for {kind}")
    return kind


def work_of(model: LanguageModel | TextEncoder, options: GenerateOptions) -> Work:
    """The work of a model on one row."""
    run = (lambda row, fields: _reply(model, options, row, fields)) if isinstance(model, LanguageModel) else None
    if run is None:
        assert isinstance(model, TextEncoder)
        encoder = model
        run = lambda row, fields: _vector(encoder, options, fields)  # noqa: E731 - the other half is above

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
