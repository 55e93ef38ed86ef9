"""How verbs print: JSON for programs, a rich table on a terminal, plain aligned lines anywhere else."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any


def print_json(value: Any) -> None:
    """One JSON document on stdout. NaN and infinities become null: they are not JSON."""
    sys.stdout.write(json.dumps(_finite(value), indent=2, ensure_ascii=False) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def print_pairs(title: str, pairs: Mapping[str, str]) -> None:
    """Name and value, one a line."""
    print_table(title, ("", ""), [list(pair) for pair in pairs.items()])


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table: drawn on a terminal, plain and aligned (first column left, others right) in a file or pipe."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(title=title, show_header=any(header), title_justify="left")
        for i, name in enumerate(header):
            table.add_column(name, justify="left" if i == 0 or not any(header) else "right", overflow="fold")
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
