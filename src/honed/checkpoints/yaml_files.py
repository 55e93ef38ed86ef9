"""YAML that people write, read as what JSON could say: objects, lists, texts, numbers, true, false and null.

Plain values are those of the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema), so that 1e-3 is a
number, and no, on and 12:30 are texts. Refused are aliases, which a few lines make as large as one likes, tags, names
given twice, several documents in one file, and more values than `json_files.py` would take. Not here: what a file
means."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from honed.checkpoints.json_files import MAX_DEPTH, read_text
from honed.errors import FormatError, quoted

MAX_BYTES = 64 << 10
"""The parser is slow: a recipe that names every module of a large model is better written as JSON."""
_PLAIN = {
    "null": (re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    "bool": (re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    "int": (re.compile(r"^[-+]?[0-9]{1,300}$"), list("-+0123456789")),
    "float": (
        re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$"),
        list("-+.0123456789"),
    ),
}
_TAG = "tag:yaml.org,2002:"


def read_yaml_object(path: Path, *, values: int) -> dict[str, Any]:
    """The object that a YAML file holds, of at most `values` values.

    Errors: SourceError where it cannot be read, FormatError for everything that is refused."""
    import yaml

    text = read_text(path, MAX_BYTES)
    loader = _loader(path)
    try:
        _check_events(yaml.parse(text, Loader=loader), path, values)
        value = yaml.load(text, Loader=loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" at line {mark.line + 1}"
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be read"
        raise FormatError(path, "YAML", f"is malformed{where}: {problem!s:.200}") from None
    except (ValueError, RecursionError) as error:
        raise FormatError(path, "YAML", f"is malformed: {error!s:.200}") from None
    if not isinstance(value, dict):
        raise FormatError(path, "YAML", f"must be an object, not {type(value).__name__}")
    return value


def to_yaml(value: Any) -> str:
    """Text that `read_yaml_object` gives back as the same value."""
    import yaml

    class Dumper(yaml.SafeDumper):  # type: ignore[misc]
        """Puts texts between quotes that would be numbers here, though in YAML 1.1 they are not."""

    Dumper.yaml_implicit_resolvers = dict(yaml.SafeDumper.yaml_implicit_resolvers)
    for kind, (pattern, first) in _PLAIN.items():
        Dumper.add_implicit_resolver(_TAG + kind, pattern, first)
    text: str = yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)
    return text


def _loader(path: Path) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """With the plain values of the core schema."""

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[str, Any]:
            seen: set[str] = set()
            for key, _ in node.value:
                if key.tag != f"{_TAG}str":
                    line = key.start_mark.line + 1
                    raise FormatError(path, "YAML", f"has a name that is no text at line {line}; put quotes around it")
                if key.value in seen:
                    raise FormatError(path, "YAML", f"the name {quoted(key.value)} appears twice")
                seen.add(key.value)
            found: dict[str, Any] = super().construct_mapping(node, deep=deep)
            return found

    Loader.yaml_implicit_resolvers = {}
    for kind, (pattern, first) in _PLAIN.items():
        Loader.add_implicit_resolver(_TAG + kind, pattern, first)
    return Loader


def _check_events(events: Any, path: Path, values: int) -> None:
    import yaml

    depth = documents = 0
    for count, event in enumerate(events):
        if isinstance(event, yaml.AliasEvent):
            raise FormatError(path, "YAML", f"has an alias (*{event.anchor}); write out what it stands for")
        if getattr(event, "tag", None) is not None:
            raise FormatError(path, "YAML", f"has the tag {quoted(event.tag)}; leave it out")
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise FormatError(path, "YAML", "holds several documents, must be one")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise FormatError(path, "YAML", f"is nested too deeply, must be at most {MAX_DEPTH} levels")
        if count >= values:
            raise FormatError(path, "YAML", f"holds too many values, must be at most {values}")
