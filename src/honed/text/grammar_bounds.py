"""What is checked in a grammar before it is compiled: sizes, depths, and every keyword of a JSON schema.

The compiler has limits of its own, on expressions, symbols, items and states; here is what those do not see (a
`multipleOf` whose automaton has millions of states), and the messages: they name the place in the schema. Not here:
compiling (`text/grammar.py`).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from honed.errors import ParameterError

SCHEMA_CHARACTERS = 512 * 1024
"""Of a JSON schema or a Lark grammar."""
REGEX_CHARACTERS = 32 * 1024
WRITTEN_OUT = 200_000
"""Characters of a regular expression whose counted repetitions are written out: some inside each other take as many
seconds to compile as they come to."""
CHOICES = 4096
"""Texts to choose from, of `SCHEMA_CHARACTERS` together."""
NESTED = 100
"""Levels of JSON inside each other: the compiler reads 128, and some are put around."""
PROPERTIES = 5000
"""Of all objects of a schema."""
OPTIONAL_PROPERTIES = 400
"""Of one object: each of them may follow each other one, and compiling takes time with the square."""
LEAST_COMMON_MULTIPLE = 100_000
"""Of all `multipleOf` of a schema: the automaton has so many states, each of which takes time and memory."""

UNSUPPORTED = frozenset(
    (
        *("not", "if", "then", "else", "contains", "minContains", "maxContains", "propertyNames", "uniqueItems"),
        *("dependencies", "dependentRequired", "dependentSchemas", "unevaluatedItems", "unevaluatedProperties"),
        *("$dynamicRef", "$recursiveRef", "x-guidance"),
    )
)
"""Keywords that say which values are valid and that no grammar is made of. The last is the compiler's own."""
FORMATS = frozenset(("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"))
"""Formats that are held to."""
UNSUPPORTED_FORMATS = frozenset(
    (
        *("idn-email", "idn-hostname", "uri-reference", "uri-template", "iri", "iri-reference"),
        *("json-pointer", "relative-json-pointer", "regex"),
    )
)
"""The other ones that JSON Schema defines (2020-12, validation, 7.3). A format that it does not define is an
annotation."""

_ONE = frozenset(("items", "additionalItems", "additionalProperties"))
_LISTS = frozenset(("prefixItems", "anyOf", "oneOf", "allOf", "items"))
_MAPS = frozenset(("properties", "patternProperties", "$defs", "definitions"))
_DROPPED = frozenset(
    ("title", "description", "default", "$comment", "examples", "deprecated", "readOnly", "writeOnly", "$schema")
)


def parsed_schema(source: str, parameter: str) -> dict[str, Any]:
    """The schema in a JSON text, as `checked_schema` gives it."""
    if len(source) > SCHEMA_CHARACTERS:
        raise ParameterError(parameter, source, f"must be at most {SCHEMA_CHARACTERS} characters of JSON schema")
    try:
        schema = json.loads(source, parse_constant=_no_constant)
    except RecursionError:
        raise _too_deep(parameter, source) from None
    except ValueError as error:
        raise ParameterError(parameter, source, f"must be a JSON schema: {error}") from None
    return checked_schema(schema, parameter)


def checked_schema(schema: object, parameter: str) -> dict[str, Any]:
    """The schema without annotations, for the compiler. What is not supported: ParameterError with its place, as a
    JSON pointer (RFC 6901).

    Annotations, and keywords that JSON Schema does not know, say nothing about values and are left out. An object that
    lists its properties and says nothing of others gets no others: small models add them without end. Not where parts
    of a schema are merged: one that is closed would forbid what the other one lists.
    """
    if isinstance(schema, bool):
        schema = {} if schema else {"enum": []}
    if not isinstance(schema, Mapping):
        raise ParameterError(parameter, schema, "must be a JSON schema: an object, true or false")
    if _depth(schema) > NESTED:
        raise _too_deep(parameter, schema)
    checked: dict[str, Any] = _Checker(parameter, closes=not _merges(schema)).schema(schema, "")
    return checked


class _Checker:
    """One schema, top down."""

    def __init__(self, parameter: str, *, closes: bool) -> None:
        self._parameter = parameter
        self._closes = closes
        self._multiple = 1
        """The least common one of every multipleOf so far."""
        self._properties = 0

    def schema(self, schema: object, place: str) -> Any:
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, Mapping):
            raise self._error(place, schema, "must be a schema: an object, true or false")
        self._count_properties(schema, f"{place}/properties")
        found = {
            key: checked
            for key, value in schema.items()
            if key not in _DROPPED
            and (checked := self._keyword(key, value, f"{place}/{_escaped(key)}")) is not _NOTHING
        }
        if self._closes and "properties" in found and not found.keys() & _OPENING and _lists_required(found):
            found["additionalProperties"] = False
        return found

    def _keyword(self, key: str, value: object, place: str) -> Any:
        if key in UNSUPPORTED:
            if value is False and key == "uniqueItems":
                return _NOTHING
            raise self._error(place, value, f"the keyword {key} is not supported; leave it out")
        if key in _MAPS:
            if not isinstance(value, Mapping):
                raise self._error(place, value, "must be an object of schemas")
            return {name: self.schema(inner, f"{place}/{_escaped(name)}") for name, inner in value.items()}
        if key in _LISTS and isinstance(value, list):
            return [self.schema(inner, f"{place}/{index}") for index, inner in enumerate(value)]
        if key in _ONE:
            return self.schema(value, place)
        if key in _LISTS:
            raise self._error(place, value, "must be a list of schemas")
        if key == "format":
            return self._format(value, place)
        if key == "multipleOf":
            self._multiply(value, place)
        elif key == "pattern" and isinstance(value, str):
            check_regex(value, self._where(place))
        return value

    def _format(self, value: object, place: str) -> Any:
        if not isinstance(value, str):
            raise self._error(place, value, "must be the name of a format")
        if value in UNSUPPORTED_FORMATS:
            raise self._error(place, value, f"this format is not supported; supported are {', '.join(sorted(FORMATS))}")
        return value if value in FORMATS else _NOTHING

    def _count_properties(self, schema: Mapping[str, object], place: str) -> None:
        properties, required = schema.get("properties"), schema.get("required")
        if not isinstance(properties, Mapping):
            return
        self._properties += len(properties)
        if self._properties > PROPERTIES:
            raise self._error(place, len(properties), f"a schema must have at most {PROPERTIES} properties")
        needed = {name for name in required if isinstance(name, str)} if isinstance(required, list) else set()
        optional = sum(name not in needed for name in properties)
        if optional > OPTIONAL_PROPERTIES:
            raise self._error(
                place, optional, f"must be at most {OPTIONAL_PROPERTIES} properties that are not required"
            )

    def _multiply(self, value: object, place: str) -> None:
        try:
            number = (
                Decimal(str(value)) if isinstance(value, int | float) and not isinstance(value, bool) else Decimal(0)
            )
        except InvalidOperation:
            number = Decimal(0)
        if not (number.is_finite() and 0 < number < 10**18):
            raise self._error(place, value, "must be a number over 0 and under 10^18")
        parts = number.as_tuple()
        assert isinstance(parts.exponent, int)
        digits = int("".join(map(str, parts.digits))) * 10 ** max(parts.exponent, 0)
        self._multiple = math.lcm(self._multiple, digits)
        if self._multiple > LEAST_COMMON_MULTIPLE:
            raise self._error(
                place, value, f"the least common multiple of all multipleOf must be at most {LEAST_COMMON_MULTIPLE}"
            )

    def _where(self, place: str) -> str:
        return f"{self._parameter}: {place or '/'}"

    def _error(self, place: str, value: object, expected: str) -> ParameterError:
        return ParameterError(self._where(place), value, expected)


_NOTHING = object()
_OPENING = frozenset(("additionalProperties", "patternProperties", "minProperties"))
_MERGING = frozenset(("$ref", "anyOf", "oneOf", "allOf"))


def _merges(schema: object) -> bool:
    """Whether two parts of it hold for one value, so far as can be seen without following references."""
    ahead = [schema]
    while ahead:
        found = ahead.pop()
        if isinstance(found, Mapping):
            both = found.get("allOf")
            if (isinstance(both, list) and len(both) > 1) or ("properties" in found and found.keys() & _MERGING):
                return True
            ahead += found.values()
        elif isinstance(found, list):
            ahead += found
    return False


def _lists_required(schema: Mapping[str, Any]) -> bool:
    required = schema.get("required")
    if not isinstance(required, list):
        return True
    return all(isinstance(name, str) and name in schema["properties"] for name in required)


def check_regex(source: str, parameter: str) -> None:
    """A regular expression that is too long, as it stands or with its repetitions written out: ParameterError."""
    if len(source) > REGEX_CHARACTERS:
        raise ParameterError(parameter, source, f"must be at most {REGEX_CHARACTERS} characters of regular expression")
    if _written_out(source) > WRITTEN_OUT:
        raise ParameterError(
            parameter, source, f"must come to at most {WRITTEN_OUT} characters with its repetitions written out"
        )


_PIECE = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{(\d+)(?:,(\d*))?\}|.", re.DOTALL)
"""An escape, a class of characters, a counted repetition, or one character."""


def _written_out(source: str) -> int:
    """About so many characters does an expression have with its counted repetitions written out."""
    sums, last = [0], 0  # of the groups that are open, and of what was read last in the innermost
    for piece in _PIECE.finditer(source):
        text = piece[0]
        if piece[1] is not None:
            # More digits than that are over any limit.
            most = max(int(piece[1][:12]), int((piece[2] or "0")[:12]), 1)
            sums[-1] += last * (most - 1)
            last *= most
        elif text == "(":
            sums.append(0)
            last = 0
        elif text == ")" and len(sums) > 1:
            last = sums.pop()
            sums[-1] += last
        else:
            last = 1
            sums[-1] += 1
    return sum(sums)


def parsed_choices(source: str, parameter: str) -> list[str]:
    """The texts of a JSON list. Too many, none, or no texts: ParameterError."""
    if len(source) > SCHEMA_CHARACTERS:
        raise ParameterError(parameter, source, f"must be at most {SCHEMA_CHARACTERS} characters together")
    try:
        choices = json.loads(source)
    except (ValueError, RecursionError):
        choices = None
    if not isinstance(choices, list) or not choices or not all(isinstance(text, str) and text for text in choices):
        raise ParameterError(parameter, source, "must be a list of texts, none of them empty")
    if len(choices) > CHOICES:
        raise ParameterError(parameter, f"{len(choices)} texts", f"must be at most {CHOICES} texts")
    return choices


def check_lark(source: str, parameter: str) -> None:
    """A grammar that is too long: ParameterError."""
    if len(source) > SCHEMA_CHARACTERS:
        raise ParameterError(parameter, source, f"must be at most {SCHEMA_CHARACTERS} characters of Lark grammar")


def _depth(value: object) -> int:
    """Levels of objects and lists inside each other, without going as deep on the stack."""
    deepest = 0
    ahead: list[Iterator[object]] = [iter((value,))]
    while ahead:
        for inner in ahead[-1]:
            if isinstance(inner, Mapping | list):
                ahead.append(iter(inner.values() if isinstance(inner, Mapping) else inner))
                deepest = max(deepest, len(ahead) - 1)
                break
        else:
            ahead.pop()
        if deepest > NESTED:
            break
    return deepest


def _too_deep(parameter: str, source: object) -> ParameterError:
    return ParameterError(parameter, source, f"must be nested at most {NESTED} levels deep")


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON value")
