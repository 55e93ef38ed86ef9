"""Files of a directory by name: links are followed within one owner's trees, and nothing else is a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from honed.checkpoints.members import find_member
from honed.errors import FormatError, SourceError

ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
STRANGER, OTHER = 12345, 12346


def give(path: Path, owner: int) -> None:
    os.chown(path, owner, owner, follow_symlinks=False)


def test_files_and_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "x").touch()
    assert find_member(tmp_path, "sub/x") == tmp_path / "sub" / "x"
    for name in ("y", "sub/y", "sub/x/y"):
        assert find_member(tmp_path, name) is None


def test_own_links_are_followed(tmp_path: Path) -> None:
    here, cache = tmp_path / "here", tmp_path / "cache"
    here.mkdir()
    (cache / "deep").mkdir(parents=True)
    (cache / "deep" / "blob").touch()
    (here / "absolute").symlink_to(cache / "deep" / "blob")
    (here / "relative").symlink_to("../cache/deep/blob")
    (here / "chain").symlink_to("relative")
    (here / "folder").symlink_to(cache / "deep")
    for name in ("absolute", "relative", "chain", "folder/blob"):
        assert find_member(here, name) == here / name


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nothing", "link: leads to .*nothing, which does not exist; copy the file here instead"),
        ("x", "link: leads in a circle"),
    ],
)
def test_links_that_lead_nowhere(tmp_path: Path, target: str, message: str) -> None:
    (tmp_path / "x").symlink_to(target)
    with pytest.raises(FormatError, match=f"x: {message}"):
        find_member(tmp_path, "x")


@pytest.mark.timeout(20)
def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    os.mkfifo(tmp_path / "p")
    (tmp_path / "device").symlink_to("/dev/zero")
    for name, kind in (
        ("d", "is a directory"),
        ("p", "is a named pipe"),
        ("device", "is a named pipe, socket or device"),
    ):
        with pytest.raises(SourceError, match=f"{name}: cannot be read: {kind}"):
            find_member(tmp_path, name)
    with pytest.raises(SourceError, match="cannot be read"):
        find_member(tmp_path, "x" * 5000)


@pytest.mark.skipif(not ROOT, reason="only root can give files away")
def test_links_of_strangers(tmp_path: Path) -> None:
    """What somebody else linked leads to their files, never to ours, to root's or to a third one's."""
    target, link = tmp_path / "target", tmp_path / "link"
    target.touch()
    link.symlink_to(target)
    give(link, STRANGER)
    with pytest.raises(FormatError, match=r"link: link: leads to .*target of another owner than the link"):
        find_member(tmp_path, "link")
    give(target, OTHER)
    with pytest.raises(FormatError, match="of another owner"):
        find_member(tmp_path, "link")
    give(target, STRANGER)
    assert find_member(tmp_path, "link") == link
    give(link, os.geteuid())  # our own link may lead to files of others
    assert find_member(tmp_path, "link") == link


@pytest.mark.skipif(not ROOT, reason="only root can give files away")
def test_a_link_on_the_way_counts_too(tmp_path: Path) -> None:
    (tmp_path / "target").touch()
    (tmp_path / "second").symlink_to("target")
    (tmp_path / "first").symlink_to("second")
    give(tmp_path / "second", STRANGER)
    with pytest.raises(FormatError, match="first: link: leads to"):
        find_member(tmp_path, "first")
    (tmp_path / "folder").symlink_to(tmp_path)
    give(tmp_path / "folder", STRANGER)
    with pytest.raises(FormatError, match="folder: link: leads to"):
        find_member(tmp_path, "folder/target")
