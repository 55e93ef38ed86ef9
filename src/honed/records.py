"""`dataclass`, as the standard library has it, without writing and compiling methods anew for each class.

When to use it: for every dataclass of a module that `import honed`, a verb of the command line or a native start
imports. There are some hundred and twenty of them, and compiling six methods for each took a tenth of a start.
Elsewhere take the standard library's. A class that derives from one made here is made here too.

Here all classes share the same methods, which go by the list of fields. What is not asked for below is left to the
standard library, and so are `field`, `fields`, `replace` and `asdict`: these are dataclasses to them, and to type
checkers. Fields are compared in their order, and what an instance keeps beside them (a cached property) is no field.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(
        *,
        frozen: bool = False,
        eq: bool = True,
        repr: bool = True,  # noqa: A002 - as in the standard library
    ) -> Callable[[type], type]:
        """Decorates a class. Its instances have a __dict__, and every field is given to the constructor."""
        if not frozen:
            return dataclasses.dataclass(eq=eq, repr=repr)
        made = dataclasses.dataclass(init=False, eq=False, repr=False)

        def decorate(cls: type) -> type:
            cls.__doc__ = cls.__doc__ or cls.__name__  # a missing one would be made of the signature, at some cost
            methods = {"__init__": _init, "__setattr__": _refuse_to_set, "__delattr__": _refuse_to_delete}
            methods |= {"__repr__": _repr} if repr else {}
            methods |= {"__eq__": _eq, "__hash__": _hash} if eq else {}
            for name, method in methods.items():
                if name not in cls.__dict__ or (name == "__hash__" and cls.__dict__[name] is None):
                    setattr(cls, name, method)
            return made(cls)

        return decorate


def _init(self: Any, *values: Any, **named: Any) -> None:
    names = self.__match_args__
    held = self.__dict__
    held.update(zip(names, values, strict=False))
    if len(values) != len(names) or named:
        _complete(self, names, values, named)
    if hasattr(self, "__post_init__"):
        self.__post_init__()


def _complete(self: Any, names: tuple[str, ...], values: tuple[Any, ...], named: dict[str, Any]) -> None:
    """The fields that were not given by position."""
    held = self.__dict__
    what = type(self).__qualname__
    if len(values) > len(names):
        raise TypeError(f"{what} takes {len(names)} values, not {len(values)}")
    fields = self.__dataclass_fields__
    for name in names[len(values) :]:
        if name in named:
            held[name] = named.pop(name)
        elif fields[name].default is not dataclasses.MISSING:
            held[name] = fields[name].default
        elif fields[name].default_factory is not dataclasses.MISSING:
            held[name] = fields[name].default_factory()
        else:
            raise TypeError(f"{what}: {name} is missing")
    if named:
        problem = "is given twice" if next(iter(named)) in names else "is not a field"
        raise TypeError(f"{what}: {next(iter(named))} {problem}")


def _refuse_to_set(self: Any, name: str, value: object) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(self: Any, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


def _values(self: Any) -> tuple[Any, ...]:
    # The fields were put in first, in their order. A plan compares thousands of records: names are not looked up.
    return tuple(self.__dict__.values())[: len(self.__match_args__)]


def _eq(self: Any, other: object) -> bool:
    return _values(self) == _values(other) if other.__class__ is self.__class__ else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _repr(self: Any) -> str:
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
    return f"{type(self).__qualname__}({shown})"
