"""What is kept in the caches, entry by entry, and the removal of entries.

Everything lies under `cache_directory()`, but for Hugging Face snapshots: those lie in a cache that other tools share,
and are listed and removed through huggingface_hub. An entry holds only what honed itself put there, told by where it
lies and what it is called; what else lies there is counted as foreign and never touched. Links are never followed.
Not here: what is written where, which the modules say that write it.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from honed.checkpoints.download.cache import RECORD, cache_directory
from honed.checkpoints.download.wheel_directory import WheelDirectory
from honed.checkpoints.source import ALIASES
from honed.errors import MachineError
from honed.records import dataclass

_SYNTHETIC = frozenset(
    {"config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors", "synthetic.json"}
)
_HEX = "[0-9a-f]"
# Of what is kept for later starts: the folders, what the names of files in them look like, and what they are.
_KEPT = {
    "packed": (
        ("packed",),
        re.compile(rf"{_HEX}{{32,64}}\.(packed|seen)"),
        "weights as the kernels read them; made again",
    ),
    "tokenizers": (
        ("tokenizers", "tokenizers/passed"),
        re.compile(rf"{_HEX}{{32,64}}"),
        "tokenizers that were checked, some in a form that is read faster; made again",
    ),
    "verified": (
        ("verified",),
        re.compile(rf"{_HEX}{{32,64}}"),
        "which artifacts were checked; they are checked again",
    ),
    "certificates": (
        ("certificates",),
        re.compile(rf"{_HEX}{{32,64}}\.json"),
        "measured quality; measured again by eval and demo",
    ),
}
# Of each folder of directories: the same, and the name of a file that must be in each, if one must.
_TREES = {
    "dense": (re.compile(rf"{_HEX}{{16,64}}"), "config.json", "models decoded for other systems; made again by bench"),
    "peers/models": (re.compile(rf"{_HEX}{{16,64}}"), None, "models converted for other systems; made again by bench"),
}
_ENVIRONMENT = re.compile(rf"(?P<system>.+)-{_HEX}{{16}}")


@dataclass(frozen=True)
class CacheEntry:
    """One thing that can be removed.

    name: what it is removed by; of a model also what the verbs take. kind: model, kept (what honed makes again by
    itself), or peer (what belongs to other systems that it is compared with). paths: the files and directories that
    are removed. used: when it was read or written last, in seconds since the epoch, as far as the file system
    records it. shared: whether other tools read it too. about: one line for people.
    """

    name: str
    kind: str
    paths: tuple[Path, ...]
    bytes: int
    files: int
    used: float
    shared: bool
    about: str


@dataclass(frozen=True)
class Caches:
    """directory: honed's own. hub_directory: that of Hugging Face. foreign: what lies in the former and is not ours.
    warnings: what huggingface_hub found damaged."""

    directory: Path
    hub_directory: Path
    entries: tuple[CacheEntry, ...]
    foreign: tuple[Path, ...]
    warnings: tuple[str, ...]

    def not_here(self) -> dict[str, int]:
        """Aliases that would be downloaded at their first use, with the bytes of their files."""
        here = {entry.name for entry in self.entries}
        return {name: alias.size for name, alias in ALIASES.items() if name not in here and alias.size is not None}


def examine_caches() -> Caches:
    """Looks through the caches; nothing is changed, opened for writing or downloaded. A cache that cannot be read is
    as good as empty."""
    root = cache_directory()
    claimed: set[Path] = set()
    entries: list[CacheEntry] = []
    for found in (_wheels(root), _synthetic(root), _environments(root), _trees(root), _kept(root)):
        for entry in found:
            claimed.update(entry.paths)
            entries.append(entry)
    hub_directory, snapshots, warnings = _snapshots()
    order = {"model": 0, "kept": 1, "peer": 2}
    entries = sorted([*snapshots, *entries], key=lambda entry: (order[entry.kind], entry.name))
    return Caches(root, hub_directory, tuple(entries), tuple(_foreign(root, claimed)), tuple(warnings))


def remove_entry(entry: CacheEntry) -> int:
    """Removes what the entry lists; the bytes that are free now. What is gone already is no error.

    MachineError where something cannot be removed; the rest of the entry then stays.
    """
    if entry.shared:
        return _remove_snapshots(entry)
    for path in entry.paths:
        try:
            if path.is_symlink() or not path.is_dir():
                path.unlink(missing_ok=True)
            else:
                _remove_tree(path)
        except OSError as error:
            raise MachineError(f"{path}: cannot be removed: {error.strerror or error}") from None
    # Directories that held nothing else. Those of others are not empty.
    root = cache_directory()
    for parent in {path.parent for path in entry.paths}:
        while parent != root and root in parent.parents:
            try:
                parent.rmdir()
            except OSError:
                break
            parent = parent.parent  # noqa: PLW2901
    return entry.bytes


def _wheels(root: Path) -> Iterator[CacheEntry]:
    """Model files out of wheels: those that have a record beside them."""
    for package in _directories(root / "pypi"):
        for version in _directories(package):
            files = {path.name: path for path in _files(version)}
            models = [name for name in files if f"{name}{RECORD}" in files]
            if not models:
                continue
            paths = [files[name] for model in models for name in (model, model + RECORD)]
            name = f"pypi:{package.name}" + ("" if version.name == "unpinned" else f"=={version.name}")
            for alias, wheel in ALIASES.items():
                member = None if isinstance(wheel, WheelDirectory) else wheel.member
                if wheel.directory == version and member is not None and Path(member).name in models:
                    name = alias
            yield _entry(name, "model", paths, f"{', '.join(sorted(models))}, from the package index")
    for alias, wheel in ALIASES.items():
        if isinstance(wheel, WheelDirectory) and _is_begun(wheel):
            yield _entry(alias, "model", [wheel.directory], f"{wheel.name} {wheel.version}, from the package index")


def _is_begun(wheel: WheelDirectory) -> bool:
    """Whether a file of a directory is there; where one is missing, all are downloaded again at the next use."""
    return any((wheel.directory / name).is_file() for name in wheel.files)


def _synthetic(root: Path) -> Iterator[CacheEntry]:
    for directory in _directories(root / "synthetic"):
        shape, dash, version = directory.name.rpartition("-")
        names = {path.name for path in _files(directory)}
        if dash and version.isdigit() and "synthetic.json" in names and names <= _SYNTHETIC:
            yield _entry(f"synthetic:{shape}", "model", [directory], "random weights of a known shape")


def _environments(root: Path) -> Iterator[CacheEntry]:
    for directory in _directories(root / "peers"):
        match = _ENVIRONMENT.fullmatch(directory.name)
        if match is not None and (directory / "pyvenv.cfg").is_file():
            about = f"{match['system']}, installed for comparisons; installed again by bench"
            log = directory.with_name(f"{directory.name}.log")
            paths = [directory, log] if log.is_file() and not log.is_symlink() else [directory]
            yield _entry(f"peers/{directory.name}", "peer", paths, about)
    for log in _files(root / "peers"):
        if _ENVIRONMENT.fullmatch(log.stem) and log.suffix == ".log" and not log.with_suffix("").is_dir():
            yield _entry(f"peers/{log.name}", "peer", [log], "what an installation said that did not succeed")


def _trees(root: Path) -> Iterator[CacheEntry]:
    for place, (pattern, needed, about) in _TREES.items():
        paths = [
            path
            for path in _directories(root / place)
            if pattern.fullmatch(path.name) and (needed is None or (path / needed).is_file())
        ]
        if paths:
            yield _entry(place, "peer", paths, about)


def _kept(root: Path) -> Iterator[CacheEntry]:
    for name, (places, pattern, about) in _KEPT.items():
        paths = [path for place in places for path in _files(root / place) if pattern.fullmatch(path.name)]
        if paths:
            yield _entry(name, "kept", paths, about)


def _snapshots() -> tuple[Path, list[CacheEntry], list[str]]:
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    directory = Path(constants.HF_HUB_CACHE)
    try:
        found = scan_cache_dir(directory)
    except (CacheNotFound, OSError, ValueError):  # not there, or a file in its place
        return directory, [], []
    entries = [
        CacheEntry(
            name=repository.repo_id,
            kind="model",
            paths=(repository.repo_path,),
            bytes=repository.size_on_disk,
            files=repository.nb_files,
            used=repository.last_accessed,
            shared=True,
            about="from the Hugging Face Hub; other tools read it too",
        )
        for repository in found.repos
        if repository.repo_type == "model" and not repository.repo_path.is_symlink()
    ]
    return directory, entries, [str(warning) for warning in found.warnings]


def _remove_snapshots(entry: CacheEntry) -> int:
    from huggingface_hub import scan_cache_dir

    found = scan_cache_dir(entry.paths[0].parent)
    repositories = frozenset(repository for repository in found.repos if repository.repo_path == entry.paths[0])
    # Revisions are looked for by their hash alone, and a copy of a repository may have the same ones.
    found = replace(found, repos=repositories)
    revisions = [revision.commit_hash for repository in repositories for revision in repository.revisions]
    strategy = found.delete_revisions(*revisions)
    strategy.execute()  # what it cannot remove it only logs
    if entry.paths[0].exists():
        raise MachineError(f"{entry.paths[0]}: cannot be removed")
    return strategy.expected_freed_size


def _entry(name: str, kind: str, paths: Sequence[Path], about: str) -> CacheEntry:
    size = files = 0
    used = 0.0
    for path in paths:
        for found in _walk(path):
            size += found.st_size
            files += 1
            used = max(used, found.st_atime, found.st_mtime)
    return CacheEntry(name, kind, tuple(paths), size, files, used, shared=False, about=about)


def _walk(path: Path) -> Iterator[os.stat_result]:
    """Of every file at or below a path, links not followed. What cannot be read is left out."""
    with suppress(OSError):
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode):
            yield found
            return
    for parent, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                yield os.lstat(os.path.join(parent, name))  # noqa: PTH118 - tens of thousands in an environment


def _children(directory: Path, wanted: Callable[[os.DirEntry[str]], bool]) -> list[Path]:
    try:
        if directory.is_symlink():
            return []
        with os.scandir(directory) as found:
            return sorted(Path(entry.path) for entry in found if wanted(entry))
    except OSError:
        return []


def _directories(directory: Path) -> list[Path]:
    return _children(directory, lambda entry: entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."))


def _files(directory: Path) -> list[Path]:
    return _children(directory, lambda entry: entry.is_file(follow_symlinks=False))


def _foreign(root: Path, claimed: set[Path]) -> Iterator[Path]:
    """What lies in the cache and belongs to no entry, the outermost of each. Hidden files are those of a writer."""
    kept = [place for places, _, _ in _KEPT.values() for place in places]
    folders = [root / place for place in ("pypi", "synthetic", "peers", *_TREES, *kept)]
    inside = {parent for path in claimed for parent in path.parents} | set(folders)
    try:
        children = sorted(root.iterdir())
    except OSError:
        return
    while children:
        path = children.pop(0)
        if path.name.startswith(".") or path in claimed:
            continue
        if path in inside and path.is_dir() and not path.is_symlink():
            with suppress(OSError):
                children = sorted(path.iterdir()) + children
        else:
            yield path


def _remove_tree(path: Path) -> None:
    import shutil

    # Removes links, and never what they lead to.
    shutil.rmtree(path)


def as_json(caches: Caches) -> dict[str, Any]:
    """For programs."""
    import datetime

    return {
        "cache_directory": str(caches.directory),
        "hub_directory": str(caches.hub_directory),
        "bytes": sum(entry.bytes for entry in caches.entries),
        "entries": [
            {
                "name": entry.name,
                "kind": entry.kind,
                "bytes": entry.bytes,
                "files": entry.files,
                "last_used": datetime.datetime.fromtimestamp(entry.used, datetime.UTC).isoformat(timespec="seconds"),
                "shared": entry.shared,
                "about": entry.about,
                "paths": [str(path) for path in entry.paths],
            }
            for entry in caches.entries
        ],
        "to_download": [{"name": name, "bytes": size} for name, size in caches.not_here().items()],
        "foreign": [str(path) for path in caches.foreign],
        "warnings": list(caches.warnings),
    }
