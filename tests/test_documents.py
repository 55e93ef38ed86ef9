"""Documents name files that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# In backticks, with a slash or a suffix of source code: `plan/fuse.py`, `native/kernels/`, `docs/architecture.md`.
QUOTED = re.compile(r"`([\w./-]+(?:/|\.(?:py|pyi|cpp|h|md|sh)))`")
LINKED = re.compile(r"\]\(([^)#:]+)\)")
# Examples of names, and files that programs make.
NOT_OURS = {"src/honed/a/b.py", "tests/a/test_b.py"}


def exists(name: str) -> bool:
    roots = [ROOT, ROOT / "src" / "honed", ROOT / "native"]
    return any((root / name).exists() for root in roots) or bool(
        "/" not in name and [*(ROOT / "src").rglob(name), *(ROOT / "native").rglob(name)]
    )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_named_file_exists(document: Path) -> None:
    text = document.read_text()
    named = {*QUOTED.findall(text), *LINKED.findall(text)} - NOT_OURS
    assert not sorted(name for name in named if not exists(name))
