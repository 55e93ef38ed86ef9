"""The backends by name. One that is new is a file in this folder and a line here.

Nothing of a backend is imported by knowing of it, so that torch and others stay out of a process that does not ask for
them. Not here: importing and opening one (`open.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from honed.parameters import choice
from honed.records import dataclass


@dataclass(frozen=True)
class Registered:
    """home: module and class, which is a `honed.backends.base.BackendClass`. encoder_home: the same of what
    runs encoders there, a `honed.backends.encoder.EncoderClass`; None where nothing does. takes: those of `RunOptions`
    that mean something to it, and the values of each; None: all that there are. needs: the package that it runs on,
    where honed does not depend on it. installs: what to give to pip to have that. about: what it is, after "the ...
    backend is"."""

    home: str
    takes: Mapping[str, tuple[str, ...] | None]
    about: str
    encoder_home: str | None = None
    needs: str | None = None
    installs: str = field(default="")


_FLOAT32 = ("auto", "float32")

BACKENDS: dict[str, Registered] = {
    "native": Registered(
        home="honed.backends.native:NativeBackend",
        takes=dict.fromkeys(("dtype", "kv", "threads", "isa", "context", "sequences")),
        about="honed's own engine",
        encoder_home="honed.backends.native_encoder:NativeEncoder",
    ),
    "pytorch": Registered(
        home="honed.backends.pytorch:PyTorchBackend",
        takes={"dtype": _FLOAT32, "kv": _FLOAT32, "context": None, "sequences": None},
        about="the float32 reference",
        encoder_home="honed.backends.pytorch_encoder:PyTorchEncoder",
        needs="torch",
        installs="honed[torch]",
    ),
}


def find(name: object) -> Registered:
    """ParameterError for a name that no backend has."""
    return BACKENDS[choice("backend", name, BACKENDS)]


def takers(option: str) -> list[str]:
    """The backends that an option means something to."""
    return [name for name, backend in BACKENDS.items() if option in backend.takes]
