"""Options of the command line that several verbs have, declared once: how a model is run, and how tokens are chosen.

A verb's function takes the value (`run: RunOptions`, `sampling: SamplingOptions`), and what is made of it here takes
the single options, as typer and `cli/quick.py` read them. Declarations are texts, which are evaluated where they are
read: a plain command line is, without typer. Not here: options that one verb has.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, get_type_hints

_RUN: dict[str, tuple[str, object, str]] = {
    "dtype": ("str", "auto", "auto (GGUF blocks as they are), float32 or bfloat16."),
    "kv": ("str", "auto", "KV cache: auto, float32, bfloat16 or int8."),
    "threads": ("int | None", None, "[default: as many CPUs as this process may use]"),
    "isa": ("str | None", None, "Instruction set: one that `honed doctor` lists. [default: the best]"),
    "context": ("int | None", None, "Tokens of the KV cache. [default: the model's own, at most 16384]"),
    "backend": ("str", "native", "{backends}."),
}
_SAMPLING: dict[str, str] = {
    "temperature": "float | None",
    "top_k": "int | None",
    "top_p": "float | None",
    "min_p": "float | None",
    "repetition_penalty": "float | None",
    "seed": "int | None",
    "presence_penalty": "float | None",
    "frequency_penalty": "float | None",
    "dry_multiplier": "float | None",
}
_EVERYWHERE = {
    "presence_penalty": "Subtracted from the logits of tokens of the reply, once, from -2 to 2. [default: 0]",
    "frequency_penalty": "Subtracted from them as often as they stand there, from -2 to 2. [default: 0]",
    "dry_multiplier": "Over 0 discourages repeating whole runs of tokens (DRY); 0.8 is usual. [default: 0]",
}
"""What is the same for every verb, since no checkpoint says anything of it."""

Verb = Callable[..., None]


def takes_run_options(*names: str) -> Callable[[Verb], Verb]:
    """For a verb with a parameter `run`: the named options, in its place."""
    from honed.backends.registry import BACKENDS

    backends = " or ".join(BACKENDS)
    declared = {
        name: (kind, default, shown.format(backends=backends))
        for name, (kind, default, shown) in ((name, _RUN[name]) for name in names)
    }

    def make(given: Mapping[str, Any]) -> object:
        from honed.backends.options import RunOptions

        return RunOptions(**given)

    return _taking("run", declared, make)


def takes_sampling_options(**shown: str) -> Callable[[Verb], Verb]:
    """For a verb with a parameter `sampling`: those of the command line, explained by these texts, which say what is
    taken where one is left open."""
    explained = _EVERYWHERE | shown
    declared = {name: (kind, None, explained[name]) for name, kind in _SAMPLING.items()}

    def make(given: Mapping[str, Any]) -> object:
        from honed.runtime.options import SamplingOptions

        return SamplingOptions(**given)

    return _taking("sampling", declared, make)


def evaluated(verb: Verb) -> Verb:
    """For typer, which reads the signature of a function and evaluates no texts of one that was put there."""
    if hasattr(verb, "__signature__"):
        hints = get_type_hints(verb, include_extras=True)
        parameters = [
            parameter.replace(annotation=hints[name]) for name, parameter in verb.__signature__.parameters.items()
        ]
        verb.__signature__ = inspect.Signature(parameters)
    return verb


def _taking(
    value: str, declared: Mapping[str, tuple[str, object, str]], make: Callable[[Mapping[str, Any]], object]
) -> Callable[[Verb], Verb]:
    """A verb that takes the declared options in place of the parameter `value`, which is made of them."""

    def decorate(verb: Verb) -> Verb:
        @wraps(verb)
        def taking(*arguments: Any, **given: Any) -> None:
            made = make({name: given.pop(name) for name in declared if name in given})
            verb(*arguments, **given, **{value: made})

        parameters: list[inspect.Parameter] = []
        for parameter in inspect.signature(verb).parameters.values():
            if parameter.name != value:
                parameters.append(parameter)
                continue
            for name, (kind, default, shown) in declared.items():
                annotation = f"Annotated[{kind}, typer.Option(help={shown!r})]"
                parameters.append(
                    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
                )
        taking.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        taking.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters} | {"return": "None"}
        return taking

    return decorate
