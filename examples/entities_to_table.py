"""Who and what is named in a folder of texts, as a table: a row for each name, with file, line, place and score.

    python examples/entities_to_table.py MODEL folder names.csv

MODEL is any encoder with a head for tokens. Files may be long, in any language that the model knows; they are read in
windows that overlap. The table can be put together again by file and place: start and end count characters of the file.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import honed

COLUMNS = ("file", "line", "start", "end", "label", "text", "score")


def texts_of(folder: Path, pattern: str) -> Iterator[tuple[Path, str]]:
    """Each file that is UTF-8 text; others are told and left out."""
    for path in sorted(folder.rglob(pattern)):
        try:
            with path.open(encoding="utf-8", newline="") as file:  # places count what is in the file
                yield path, file.read()
        except (UnicodeDecodeError, OSError) as error:
            print(f"{path}: left out: {error}", file=sys.stderr)


def main() -> None:
    """Writes the table and says what is in it."""
    parser = argparse.ArgumentParser(description="Make a table of the names in texts.")
    parser.add_argument("model")
    parser.add_argument("folder", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("--pattern", default="*.txt")
    parser.add_argument("--least", type=float, default=0.0, help="score under which a name is left out")
    parser.add_argument("--aggregation", default="first")
    given = parser.parse_args()
    counts: Counter[str] = Counter()
    files = 0
    with (
        honed.pipeline("ner", given.model, aggregation_strategy=given.aggregation) as find,
        given.table.open("w", encoding="utf-8", newline="") as opened,
    ):
        writer = csv.writer(opened)
        writer.writerow(COLUMNS)
        for path, text in texts_of(given.folder, given.pattern):
            files += 1
            for one in find(text):
                if one["score"] < given.least:
                    continue
                start, end = one["start"], one["end"]
                line = text.count("\n", 0, start) + 1
                name = path.relative_to(given.folder)
                writer.writerow([name, line, start, end, one["entity_group"], text[start:end], f"{one['score']:.4f}"])
                counts[one["entity_group"]] += 1
    told = ", ".join(f"{count} {label}" for label, count in counts.most_common())
    print(f"{files} files: {told or 'no names'}")


if __name__ == "__main__":
    try:
        main()
    except (honed.errors.HonedError, OSError) as error:
        sys.exit(f"entities_to_table: {error}")
