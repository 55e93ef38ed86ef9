"""A table that a document shows between two lines of its own, and that a command brings up to date."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from honed.errors import FormatError


@dataclass(frozen=True)
class Marks:
    """The two lines; `name` is that of the table, for an error."""

    name: str
    begin: str
    end: str

    def shown_in(self, document: str, path: Path) -> str:
        """What a document has between them. FormatError where it has no place for it."""
        _, begin, rest = document.partition(self.begin + "\n")
        table, end, _ = rest.partition(self.end)
        if not begin or not end:
            raise FormatError(path, self.name, f"there are no lines {self.begin} and {self.end}")
        return table

    def put_into(self, path: Path, table: str) -> None:
        """Replaces it."""
        document = path.read_text("utf-8")
        shown = self.begin + "\n" + self.shown_in(document, path) + self.end
        path.write_text(document.replace(shown, self.begin + "\n" + table + self.end), "utf-8")
