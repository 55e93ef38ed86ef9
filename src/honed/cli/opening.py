"""Which verb a command line asks for. The plain case costs nothing: what explains is imported where it is needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from honed.errors import HonedError


def first_words(words: Sequence[str], verbs: Iterable[str]) -> list[str] | None:
    """The command line with its verb first, or None where the overview was asked for and has been printed.

    A verb that there is none of: HonedError that names the one to type.
    """
    known = list(verbs)
    first = words[0] if words else "--help"
    if first in ("--help", "-h", "help"):
        if len(words) > 1 and words[1] in known:
            return [words[1], "--help"]
        import shutil
        import sys

        from honed.cli.overview import overview

        sys.stdout.write(overview(known, shutil.get_terminal_size().columns))
        return None
    if first in ("--version", "-V"):
        return ["version", *words[1:]]
    if first in known:
        return list(words)
    from honed.cli.pointers import explain_verb

    raise HonedError(explain_verb(first, list(words[1:]), known))
