"""`honed models`: what is in the caches, what it weighs and when it was used, and its removal."""

from __future__ import annotations

import difflib
import shutil
import sys
import textwrap
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from honed.cli import streams
from honed.cli.output import print_json
from honed.errors import HonedError, plain, quoted

if TYPE_CHECKING:
    from honed.api.caches import CacheEntry, Caches


def models(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[remove NAME...]", help="Nothing lists; remove NAME... removes what the list shows."),
    ] = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List what is in the caches, or remove some of it.

    Only what honed itself has put there can be removed; Hugging Face models are shared with other tools, and removed
    by that library. Artifacts lie where you had them written, and are no part of a cache.

    \b
    honed models
    honed models --json
    honed models remove packed synthetic:llama-1.1b
    honed models remove smollm2 --yes
    """
    from honed.api.caches import as_json, examine_caches

    given = list(words or ())
    if given and given[0] != "remove":
        raise HonedError(_not_remove(given[0]))
    caches = examine_caches()
    if given:
        _remove(_named(given[1:], caches), yes=yes, json=json)
    elif yes:
        raise HonedError("--yes goes with: honed models remove NAME")
    elif json:
        print_json(as_json(caches))
    else:
        _list(caches)


def _list(caches: Caches) -> None:
    now = time.time()
    rows = [
        [plain(entry.name), size(entry.bytes), ago(now - entry.used), plain(entry.about)] for entry in caches.entries
    ]
    rows += [
        [name, size(nbytes), "never", "not here yet; downloaded at its first use"]
        for name, nbytes in caches.not_here().items()
    ]
    total = sum(entry.bytes for entry in caches.entries)
    _say(f"{size(total)} in {plain(str(caches.directory))}")
    for line in _aligned([["name", "size", "used", ""], *rows]):
        _say(line)
    if any(entry.shared for entry in caches.entries):
        _say(f"Hugging Face models lie in {plain(str(caches.hub_directory))} and are counted above.")
    if caches.foreign:
        _say(
            f"{len(caches.foreign)} more there that honed did not write, for instance {plain(str(caches.foreign[0]))}."
        )
    for warning in caches.warnings:
        _say(f"Hugging Face cache: {plain(warning)}")
    _say("honed models remove NAME... removes some of it; any other model is named by its path or Hugging Face id.")


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns; the last one, which explains, goes on below itself where a terminal is too narrow for it."""
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = []
    for name, weight, used, about in rows:
        start = f"{name:{widths[0]}}  {weight:>{widths[1]}}  {used:>{widths[2]}}"
        room = shutil.get_terminal_size().columns - len(start) - 2 if sys.stdout.isatty() else 1000
        if room >= 20:
            lines += textwrap.wrap(
                about, room + len(start) + 2, initial_indent=f"{start}  ", subsequent_indent=" " * (len(start) + 2)
            ) or [start]
        else:
            lines += [
                start,
                *textwrap.wrap(about, max(room + len(start), 20), initial_indent="    ", subsequent_indent="    "),
            ]
    return [line.rstrip() for line in lines]


def _remove(entries: Sequence[CacheEntry], *, yes: bool, json: bool) -> None:
    from honed.api.caches import remove_entry

    total = size(sum(entry.bytes for entry in entries))
    if not yes:
        if not (sys.stdin is not None and sys.stdin.isatty()):
            raise HonedError("models remove asks first, and there is no terminal to answer from: pass --yes")
        for entry in entries:
            shared = " (other tools lose it too)" if entry.shared else ""
            streams.say(f"{plain(entry.name)}  {size(entry.bytes)}  {plain(entry.about)}{shared}\n")
        streams.say(f"Remove {'this' if len(entries) == 1 else f'these {len(entries)}'}, {total}? [y/N] ")
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise HonedError("nothing was removed")
    removed = [(entry.name, remove_entry(entry)) for entry in entries]
    if json:
        print_json({"removed": [{"name": name, "bytes": nbytes} for name, nbytes in removed]})
        return
    for name, nbytes in removed:
        _say(f"removed {plain(name)}, {size(nbytes)}")


def _named(names: Sequence[str], caches: Caches) -> list[CacheEntry]:
    if not names:
        raise HonedError("models remove needs a name that honed models lists, for instance: honed models remove packed")
    by_name = {entry.name: entry for entry in caches.entries}
    for name in names:
        if name in by_name:
            continue
        if name in caches.not_here():
            raise HonedError(f"{name} is not in the cache, so there is nothing to remove")
        near = difflib.get_close_matches(name, by_name, n=1)
        hint = f"did you mean {near[0]}?" if near else "honed models lists what is"
        raise HonedError(f"{quoted(name)} is not in the caches: {hint}")
    return [by_name[name] for name in dict.fromkeys(names)]


def _not_remove(word: str) -> str:
    if word.lower() in ("list", "ls"):
        return f"models {word}: honed models alone lists"
    if word.lower() in ("rm", "delete", "del", "prune", "clean", "clear", "uninstall"):
        return f"models {word}: here that is honed models remove NAME"
    if word.lower() in ("show", "info"):
        return f"models {word}: here that is honed inspect MODEL"
    if word.lower() in ("pull", "download", "add", "get"):
        return f"models {word}: a model is downloaded when a verb first names it, as in honed generate MODEL PROMPT"
    return f"models {quoted(word)}: must be remove NAME..., or nothing; a model is described by honed inspect MODEL"


def size(nbytes: float) -> str:
    """Bytes for people, in powers of ten as download pages give them."""
    for unit in ("bytes", "kB", "MB"):
        if nbytes < 999.5:
            return f"{nbytes:.0f} {unit}"
        nbytes /= 1000
    return f"{nbytes:.1f} GB"


def ago(seconds: float) -> str:
    """How long ago, in its largest unit."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
