"""Documents name files that exist, link to sections that exist, and the index of measurements is complete."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MEASUREMENTS = ROOT / "docs" / "measurements"
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
CODE = [
    path
    for folder in ("src", "native", "tests", "scripts")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in {".py", ".pyi", ".cpp", ".h", ".sh"} and path != Path(__file__)
]
# In backticks, with a slash or a suffix of source code: `plan/fuse.py`, `native/kernels/`, `docs/architecture.md`.
QUOTED = re.compile(r"`([\w./-]+(?:/|\.(?:py|pyi|cpp|h|md|sh)))`")
LINKED = re.compile(r"\]\(([^)#:\s]*)(?:#([^)\s]+))?\)")
DOCUMENT = re.compile(r"docs/[\w./-]+\.md")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
# Examples of names, files that programs make, and files of other projects.
NOT_OURS = {"src/honed/a/b.py", "tests/a/test_b.py", "benchmark_e2e.py", "docs/gguf.md"}


def exists(name: str) -> bool:
    roots = [ROOT, ROOT / "src" / "honed", ROOT / "native"]
    return any((root / name).exists() for root in roots) or bool(
        "/" not in name and [*(ROOT / "src").rglob(name), *(ROOT / "native").rglob(name)]
    )


def anchors(document: Path, heading: re.Pattern[str] = HEADING) -> set[str]:
    """The names by which links reach the headings of a document, made as GitHub makes them."""
    headings = heading.findall(document.read_text())
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def links(document: Path) -> Iterator[tuple[Path, str]]:
    """Each link of a document to something of this repository: the file, and the section or ""."""
    for name, section in LINKED.findall(document.read_text()):
        yield ((document.parent / name).resolve() if name else document), section


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_named_file_exists(document: Path) -> None:
    named = set(QUOTED.findall(document.read_text())) - NOT_OURS
    assert not sorted(name for name in named if not exists(name) and not (document.parent / name).exists())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    broken = [
        f"{target}#{section}"
        for target, section in links(document)
        if not target.exists() or (section and section not in anchors(target))
    ]
    assert not broken


def test_documents_that_code_names_exist() -> None:
    broken = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in [*CODE, ROOT / "Makefile", ROOT / "pyproject.toml", ROOT / "CMakeLists.txt"]
        for name in DOCUMENT.findall(path.read_text())
        if name not in NOT_OURS and not (ROOT / name).exists()
    ]
    assert not broken


def test_every_measurement_is_in_the_index() -> None:
    index = MEASUREMENTS / "README.md"
    indexed = set(links(index))
    sections = {
        (topic, section) for topic in MEASUREMENTS.glob("*.md") if topic != index for section in anchors(topic, SECTION)
    }
    assert sections
    assert not sorted(f"{topic.name}#{section}" for topic, section in sections - indexed)
