"""The table of families, as text, as Markdown, and in the document that shows it.

Not here: what fills it (`row.py`).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from honed.api.families.row import COLUMNS, Row, try_family
from honed.api.marked_table import Marks
from honed.errors import ParameterError
from honed.models.registry import FAMILIES

BEGIN = "<!-- families: what `honed families --markdown` prints -->"
END = "<!-- end of families -->"
_MARKS = Marks("families", BEGIN, END)
HEADER = ("model_type", "models", *COLUMNS)


def chosen(names: Sequence[str]) -> list[str]:
    """Families by model_type, in the order of the registry; all without names. Errors: ParameterError."""
    for name in names:
        if name not in FAMILIES:
            raise ParameterError("family", name, f"must be one of {', '.join(FAMILIES)}")
    return [model_type for model_type in FAMILIES if not names or model_type in names]


def try_families(names: Sequence[str]) -> Iterator[Row]:
    """A row for each family, in a folder of its own that is gone afterwards, with all that the engine keeps."""
    for model_type in chosen(names):
        with tempfile.TemporaryDirectory(prefix="honed-families-") as folder, _cache(Path(folder) / "cache"):
            yield try_family(model_type, Path(folder))


@contextmanager
def _cache(folder: Path) -> Iterator[None]:
    """The user's cache is not filled with tiny models."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["XDG_CACHE_HOME"]
        else:
            os.environ["XDG_CACHE_HOME"] = before


def cells(row: Row) -> list[str]:
    """A line of the table."""
    return [row.model_type, row.covers, *(row.outcomes[column] for column in COLUMNS)]


def markdown(rows: Sequence[Row]) -> str:
    """The table, with a line break at its end."""
    lines = [HEADER, ["---"] * len(HEADER), *map(cells, rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def shown_in(document: str, path: Path) -> str:
    """The table that a document shows. FormatError where it has no place for one."""
    return _MARKS.shown_in(document, path)


def put_into(path: Path, table: str) -> None:
    """Replaces the table that a document shows."""
    _MARKS.put_into(path, table)
