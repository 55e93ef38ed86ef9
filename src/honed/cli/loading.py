"""A model for a verb that generates: loaded with a spinner on a terminal, silently anywhere else."""

from __future__ import annotations

import gc
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from honed.api.language_model import LanguageModel


@contextmanager
def loaded(
    model: str,
    *,
    dtype: str,
    kv: str,
    threads: int | None,
    isa: str | None,
    context: int | None,
    revision: str | None,
    backend: str,
) -> Iterator[LanguageModel]:
    """The model that `honed.load` gives for these, closed at the end. Errors are those of `honed.load`."""
    import honed

    with _spinner(f"loading {model}"), _no_collection():
        language_model = honed.load(
            model, dtype=dtype, kv=kv, threads=threads, isa=isa, context=context, revision=revision, backend=backend
        )
    with language_model:
        yield language_model


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without looking for garbage: what loading makes is kept, and going through it again and again takes time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def _spinner(text: str) -> Iterator[None]:
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(text):
        yield


def prepare_stdout() -> None:
    """Lets every text be printed: what the terminal's encoding cannot show becomes a question mark."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
