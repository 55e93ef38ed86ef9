"""Mutations of JSON as a tree, and of its text where the tree cannot say it (a name given twice, a number too long)."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fuzzing.byte_mutations import EXTREMES, mutate_bytes

Place = tuple[Any, Any]
"""A list or an object, and the index or name of a value in it."""

_ODD: tuple[Any, ...] = (None, True, False, "", [], {}, -1, 0, 1, 2.5, -0.0, 1e308, float("inf"), float("-inf"))
_ODD += (float("nan"), "\x00", "\x1b[31m", "\ud800", "\u202e", "../../etc/passwd", "/etc/passwd", "a" * 5000, "(a+)+$")
_ODD += ([0] * 1000, {"a": {"a": {}}}, [[]], "0", "true", 10**400, -(10**30), "re:" + "(x*)*" * 5, "\U0001f600" * 50)
_ODD += tuple(EXTREMES) + tuple(-value for value in EXTREMES)


def mutate_json(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """One to five changes of the tree, at times one of the text on top."""
    try:
        tree = [json.loads(data)]
    except (ValueError, RecursionError):
        return mutate_bytes(data, chance, others)
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        places = list(_places(tree))
        _change(chance.choice(places), places, chance)
    try:
        text = json.dumps(tree[0], ensure_ascii=chance.random() < 0.5)
        mutated = text.encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):
        return mutate_bytes(data, chance, others)
    way = chance.random()
    if way < 0.04:
        return _name_twice(mutated, chance)
    if way < 0.08:
        return _deep(mutated, chance)
    if way < 0.16:
        return mutate_bytes(mutated, chance, others)
    return mutated


def change_tree(tree: Any, chance: random.Random) -> Any:
    """One change; the tree may be changed in place."""
    holder = [tree]
    places = list(_places(holder))
    _change(chance.choice(places), places, chance)
    return holder[0]


def _places(tree: Any) -> Iterator[Place]:
    pending = [tree]
    while pending:
        holder = pending.pop()
        for key in range(len(holder)) if isinstance(holder, list) else list(holder):
            yield holder, key
            if isinstance(holder[key], list | dict):
                pending.append(holder[key])


def _change(place: Place, places: Sequence[Place], chance: random.Random) -> None:
    holder, key = place
    chance.choice(_WAYS)(holder, key, places, chance)


def _odd(holder: Any, key: Any, places: Sequence[Place], chance: random.Random) -> None:
    value = chance.choice(_ODD)
    holder[key] = json.loads(json.dumps(value)) if isinstance(value, list | dict) else value


def _near(holder: Any, key: Any, places: Sequence[Place], chance: random.Random) -> None:
    """Almost what it was: a number moved or of the other type, a text cut or repeated."""
    value = holder[key]
    if isinstance(value, bool):
        holder[key] = not value
    elif isinstance(value, int):
        other = (float(value), str(value)) if abs(value) < 1 << 64 else (0,)
        holder[key] = chance.choice((value + 1, value - 1, -value, value * 2, value << 32, *other))
    elif isinstance(value, float):
        holder[key] = chance.choice((-value, value * 1e30, value + 0.5, str(value)))
    elif isinstance(value, str):
        cut = chance.randrange(len(value) + 1)
        holder[key] = chance.choice((value[:cut], value * 2, value[cut:], value + "\n", value.upper(), [value]))
    elif isinstance(value, list) and value:
        holder[key] = chance.choice(
            (value * 2, value[1:], value[:-1], value[::-1], {str(i): item for i, item in enumerate(value)})
        )
    else:
        holder[key] = chance.choice((None, [value], {"": value}))


def _drop(holder: Any, key: Any, places: Sequence[Place], chance: random.Random) -> None:
    if isinstance(holder, dict) or len(holder) > 1:
        del holder[key]
    else:
        _odd(holder, key, places, chance)


def _move(holder: Any, key: Any, places: Sequence[Place], chance: random.Random) -> None:
    """The value of another place, copied."""
    other, name = chance.choice(places)
    try:
        holder[key] = json.loads(json.dumps(other[name]))
    except (ValueError, RecursionError, KeyError, IndexError):
        holder[key] = None


def _rename(holder: Any, key: Any, places: Sequence[Place], chance: random.Random) -> None:
    if isinstance(holder, dict):
        holder[chance.choice((key + "x", key[:-1], "", "\x1b[0m", key.upper(), "a" * 3000))] = holder.pop(key)


_Way = Callable[[Any, Any, Sequence[Place], random.Random], None]
_WAYS: tuple[_Way, ...] = (_odd, _odd, _odd, _near, _near, _drop, _move, _rename)


def _name_twice(data: bytes, chance: random.Random) -> bytes:
    name, colon, rest = data.partition(b":")
    return name + colon + b"0," + name.rpartition(b"{")[2] + colon + rest if colon else data


def _deep(data: bytes, chance: random.Random) -> bytes:
    depth = chance.choice((100, 2000, 100_000))
    opening, closing = chance.choice(((b"[", b"]"), (b'{"a":', b"}")))
    value = opening * depth + b"0" + closing * depth
    head, colon, tail = data.partition(b":")
    return head + colon + value + b"," + tail if colon else value
