"""A library of somebody else in this process: skipped where it is not there, and what it leaves open is let go."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def foreign(name: str, **environment: str) -> Iterator[Any]:
    """The module. environment: variables while it is in use. Loops and sockets that it forgot warn nobody."""
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in environment.items():
            patch.setenv(variable, value)
        yield pytest.importorskip(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        asyncio.set_event_loop(None)
        gc.collect()
