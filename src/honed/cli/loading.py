"""A model for a verb that generates: loaded with a spinner on a terminal, silently anywhere else."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from honed.cli.streams import replace_unprintable
from honed.errors import plain

if TYPE_CHECKING:
    from honed.api.embed import TextEncoder
    from honed.api.language_model import LanguageModel
    from honed.backends.options import RunOptions


@contextmanager
def loaded(model: str, run: RunOptions, *, revision: str | None) -> Iterator[LanguageModel]:
    """The model that `honed.load` gives, closed at the end. Errors are those of `honed.load`, and HonedError for an
    encoder."""
    from honed.api.language_model import LanguageModel

    with _loaded(model, run, revision) as found:
        if not isinstance(found, LanguageModel):
            found.generate()
        yield found


@contextmanager
def loaded_encoder(model: str, run: RunOptions, *, revision: str | None) -> Iterator[TextEncoder]:
    """The same for an encoder; HonedError for a model that generates."""
    from honed.api.embed import TextEncoder

    with _loaded(model, run, revision) as found:
        if not isinstance(found, TextEncoder):
            found.embed()
        yield found


def _loaded(model: str, run: RunOptions, revision: str | None) -> LanguageModel | TextEncoder:
    import honed

    with _spinner(f"loading {model}"), _no_collection():
        return honed.load(model, run, revision=revision)


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
    from rich.markup import escape

    with Console(stderr=True).status(escape(plain(text))):
        yield


def prepare_stdout() -> None:
    """Lets every text be printed: what the terminal's encoding cannot show becomes a question mark."""
    replace_unprintable()
