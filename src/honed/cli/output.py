"""How verbs print: JSON for programs, a rich table on a terminal, plain aligned lines anywhere else.

What is printed comes from files that nobody vouches for: nothing is left in it that a terminal would act upon. Not
here: what a model generates, which is printed as it is where there is no terminal.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from honed.errors import plain

_OBEYED = "[\x00-\x08\x0b-\x1f\x7f-\x9f]"
"""Characters that a terminal obeys, but for tabulators and ends of lines."""
_SURROGATE = "[\ud800-\udfff]"
_NUMBERS = r"\[\n([-+.0-9eE,\s]+)\]"
"""A list of numbers as json indents it."""


def print_json(value: Any) -> None:
    """One JSON document on stdout, which every reader takes.

    NaN and infinities become null: they are not JSON. Halves of surrogate pairs, which a file name that is not UTF-8 or
    a hostile file has, become U+FFFD. What an encoding cannot show, or a terminal would obey, is escaped.
    """
    is_unicode = str(sys.stdout.encoding).lower().replace("-", "") == "utf8"
    text = json.dumps(_valid(value), indent=2, ensure_ascii=not is_unicode)
    # A vector is one line. No string of JSON holds the line breaks that are looked for.
    text = re.sub(_NUMBERS, lambda found: "[" + " ".join(found[1].split()) + "]", text)
    sys.stdout.write(for_terminal(text) + "\n")


def for_terminal(text: str) -> str:
    """A text as it is, or, where standard output is a terminal, with what it would obey escaped."""
    if not sys.stdout.isatty():
        return text
    return re.sub(_OBEYED, lambda found: f"\\u{ord(found[0]):04x}", text)


def _valid(value: Any) -> Any:
    if isinstance(value, str):
        return re.sub(_SURROGATE, "\ufffd", value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_valid(str(key)): _valid(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_valid(item) for item in value]
    return value


def print_line(text: str) -> None:
    """One line, whatever the text holds."""
    sys.stdout.write(plain(text) + "\n")


def print_lines(text: str) -> None:
    """A text of lines, in each of which nothing but text is left."""
    for line in text.split("\n"):
        print_line(line)


def print_pairs(title: str, pairs: Mapping[str, str]) -> None:
    """Name and value, one a line."""
    print_table(title, ("", ""), [list(pair) for pair in pairs.items()])


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table: drawn on a terminal, plain and aligned (first column left, others right) in a file or pipe."""
    title, header, rows = plain(title), [plain(name) for name in header], [[plain(c) for c in row] for row in rows]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(title=Text(title), show_header=any(header), title_justify="left")
        for i, name in enumerate(header):
            table.add_column(Text(name), justify="left" if i == 0 or not any(header) else "right", overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        Console().print(table)
        return
    lines = [list(header), *[list(row) for row in rows]] if any(header) else [list(row) for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    sys.stdout.write(title + "\n")
    for line in lines:
        cells = [
            cell.ljust(width) if i == 0 or not any(header) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        sys.stdout.write("  ".join(cells).rstrip() + "\n")
