"""A checkpoint and options to a backend that runs it. Not here: which backends there are (`registry.py`)."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from honed.backends.base import Backend, BackendClass
from honed.backends.capacity import cache_tokens
from honed.backends.encoder import EncoderBackend, EncoderClass
from honed.backends.options import RunOptions
from honed.backends.registry import BACKENDS, find
from honed.checkpoints.base import Checkpoint
from honed.errors import ParameterError, UnsupportedError
from honed.models.registry import read_model


def check_here(options: RunOptions) -> None:
    """Before any file is opened: ParameterError for what this machine does not have, UnsupportedError where the backend
    cannot be imported."""
    _backend_class(options.backend).configure(options, None)


def open_backend(checkpoint: Checkpoint, options: RunOptions, meanwhile: Callable[[], None] | None = None) -> Backend:
    """A backend with the weights of the checkpoint and an empty cache.

    `meanwhile` is called once, when what is left to do lets other threads of Python run. Errors: those of `check_here`,
    ParameterError for a context that is not the model's, and those of the backend's `load`.
    """
    backend = _backend_class(options.backend)
    context = read_model(checkpoint.config, checkpoint.path).dimensions.context
    return backend.load(checkpoint, backend.configure(options, cache_tokens(options, context)), meanwhile)


def open_encoder(
    checkpoint: Checkpoint, options: RunOptions, meanwhile: Callable[[], None] | None = None
) -> EncoderBackend:
    """What runs the encoder of a checkpoint. `meanwhile` and errors as of `open_backend`; ParameterError for options
    that mean something to models that generate only."""
    for name in ("kv", "context", "sequences"):
        value = getattr(options, name)
        if value != getattr(RunOptions, name):
            raise ParameterError(name, value, "is for models that generate, and this one is an encoder; leave it out")
    home = find(options.backend).encoder_home
    if home is None:
        able = ", ".join(name for name, backend in BACKENDS.items() if backend.encoder_home is not None)
        raise UnsupportedError(f"backend {options.backend}: does not run encoders; those that do: {able}")
    encoder: EncoderClass = _imported(options.backend, home)
    return encoder.load(checkpoint, encoder.configure(options), meanwhile)


def _backend_class(name: str) -> BackendClass:
    found: BackendClass = _imported(name, find(name).home)
    return found


def _imported(name: str, home: str) -> Any:
    """A class of a backend, by module and name."""
    backend = find(name)
    module, _, attribute = home.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        if backend.needs is None:
            raise
        raise UnsupportedError(
            f"backend {name}: {backend.needs} is not installed; pip install {backend.installs} ({error})"
        ) from error
    return found
