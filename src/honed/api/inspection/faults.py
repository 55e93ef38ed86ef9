"""All that keeps a checkpoint from running, and not only what is found first.

Readers refuse the first thing that is not right. What they refuse is told from their own sentence, written down, taken
out (or replaced by what a sample of the family has there), and they are asked again, until nothing is left that they
refuse. So no rule of theirs stands here a second time. Not here: tensors (`tensors.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from honed.errors import FormatError, HonedError, quoted

MOST = 64
"""Rounds of asking: more than any config gets wrong."""
EXAMPLES = 3
"""Names that are shown of many."""
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*")


@dataclass(frozen=True)
class Fault:
    """One thing that is missing or not known here.

    kind: what `name` is: field (of config.json), key (of GGUF metadata), model_type, architecture, quantization, type
    (of tensors), missing, superfluous or shape (tensors), file, or engine. value: what stands there, as it is shown.
    problem: a sentence. count: how many tensors it is about, `examples` a few of them.
    """

    kind: str
    name: str
    problem: str
    value: str | None = None
    count: int | None = None
    examples: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        shown = {"kind": self.kind, "name": self.name, "value": self.value, "problem": self.problem}
        return shown if self.count is None else {**shown, "count": self.count, "examples": list(self.examples)}


@dataclass
class Gathered:
    """What readers refused. values: those that they took in the end. invented: names whose values were replaced by
    those of a sample, so that what follows from them says nothing. read: whether they took it in the end."""

    values: dict[str, Any]
    faults: list[Fault] = field(default_factory=list)
    invented: set[str] = field(default_factory=set)
    read: bool = False

    @property
    def sizes_hold(self) -> bool:
        """Whether the sizes that were read are those that were given."""
        return self.read and not self.invented


def gather(
    values: Mapping[str, Any], read: Callable[[Mapping[str, Any]], object], sample: Mapping[str, Any], kind: str
) -> Gathered:
    """All that `read` refuses of values. sample: what it takes, for what it cannot do without. kind: of the faults."""
    found = Gathered(dict(values))
    for _ in range(MOST):
        try:
            read(found.values)
        except HonedError as error:
            names = list(named(error, found.values))
            if not names or not _mended(found, error, names, sample, kind):
                found.faults.append(_fault(error, names[0] if names else "", found.values, kind))
                return found
        else:
            found.read = True
            return found
    return found


def _mended(found: Gathered, error: HonedError, names: list[str], sample: Mapping[str, Any], kind: str) -> bool:
    """Writes down what was refused, and takes it out. False where nothing is left to be tried."""
    name = names[0]
    top = name if name in found.values or name in sample else name.partition(".")[0]
    knock_on = any(other in found.invented for other in names)
    if top in found.invented:  # the sample's own value: what else is named is at odds with it
        others = [other for other in names[1:] if other in found.values and other not in found.invented]
        if not others:
            return False
        top = others[0]
    elif not knock_on and not any(fault.name == name for fault in found.faults):
        found.faults.append(_fault(error, name, found.values, kind))
    if top in found.values and not knock_on and top != name and _without(found.values, name):
        return True
    if top in found.values and not knock_on:
        was_there = found.values.pop(top)
        if _is_size(was_there) and _is_size(sample.get(top)):
            found.values[top] = sample[top]
            found.invented.add(top)
        return True
    if top in sample:
        found.values[top] = sample[top]
        found.invented.add(top)
        return True
    had = top in found.values
    found.values.pop(top, None)
    return had


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _without(values: dict[str, Any], path: str) -> bool:
    """Takes a field out of the objects that a path of names leads through."""
    first, _, rest = path.partition(".")
    inner = values.get(first)
    if not isinstance(inner, dict):
        return False
    if rest in inner:
        values[first] = {name: value for name, value in inner.items() if name != rest}
        return True
    copied = dict(inner)
    values[first] = copied
    return bool(rest) and _without(copied, rest)


def named(error: HonedError, values: Mapping[str, Any]) -> Iterator[str]:
    """The names that an error is about: its field, then those that its sentence holds."""
    text, seen = str(error), set()
    if isinstance(error, FormatError):
        seen.add(error.field)
        yield error.field
        text = text.removeprefix(f"{error.path}: {error.field}: ")
    for match in _WORD.finditer(_sentence(text)):
        name = match[0].rstrip(".-")
        top = name.partition(".")[0]
        if name not in seen and (name in values or (top in values and isinstance(values[top], dict) and top != name)):
            seen.add(name)
            yield name


def _sentence(text: str) -> str:
    """Without the file before it, whose path may hold any word."""
    file, colon, rest = text.partition(": ")
    return rest if colon and "/" in file else text


def _fault(error: HonedError, name: str, values: Mapping[str, Any], kind: str) -> Fault:
    value = _at(values, name)
    return Fault(kind if name else "engine", name, _sentence(str(error)), None if value is None else quoted(value))


def _at(values: Any, path: str) -> Any:
    if not isinstance(values, Mapping):
        return None
    if path in values:
        return values[path]
    first, dot, rest = path.partition(".")
    return _at(values.get(first), rest) if dot else None


def of_error(error: HonedError, kind: str = "engine", name: str = "") -> Fault:
    """The fault that an error is, where nothing is known of it but its sentence; its name is that of the file that it
    is about."""
    file, colon, _ = str(error).partition(": ")
    about = Path(file).name if colon and "/" in file else ""
    return Fault(kind, name or about, _sentence(str(error)))


_NUMBER = re.compile(r"\.[0-9]+(?=\.)")


def patterns(names: Iterable[str]) -> dict[str, list[str]]:
    """Names by what they are in every layer: numbers between dots become N."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(_NUMBER.sub(".N", name), []).append(name)
    return found


def about_tensors(kind: str, names: Iterable[str], problem: str) -> list[Fault]:
    """A fault for each pattern of names of tensors."""
    return [
        Fault(kind, pattern, problem, count=len(of), examples=tuple(sorted(of)[:EXAMPLES]))
        for pattern, of in sorted(patterns(names).items())
    ]
