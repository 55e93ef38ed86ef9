"""Model directories from the Hugging Face Hub, through huggingface-hub and its cache.

First come the small files: settings, tokenizer, the index of shards, the manifest of an artifact. They say which
weight files there are, and exactly those are asked for by name. What is listed on the Hub never chooses a path: names
come from here, or from an index or manifest whose names were checked. Never pickled weights, never code.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path, PurePosixPath, PureWindowsPath

from honed.errors import HonedError, SourceError

PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_MANIFEST, _SINGLE, _INDEX = "honed.json", "model.safetensors", "model.safetensors.index.json"
_SMALL = (
    *("config.json", "generation_config.json", _MANIFEST, _INDEX),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("chat_template.jinja", "chat_template.json", "tokenizer.model", "vocab.json", "merges.txt", "vocab.txt"),
)
_TEKKEN = "tekken.json"
"""What Mistral's repositories may have instead of a tokenizer.json; many have both, and it is large."""
_TYPES = frozenset({".safetensors", ".json", ".jinja", ".model", ".txt", ".md", ""})
"""Of files that a manifest may list."""
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def fetch(repository: str, revision: str | None) -> Path:
    """The snapshot of a revision (a branch, tag or commit; None: main), downloaded where the cache lacks it.

    Errors: SourceError in one sentence, offline and for unknown, gated or private repositories alike; FormatError for
    an index or manifest that names what it must not.
    """
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    shown = repository if revision is None else f"{repository}@{revision}"
    try:
        return _fetch(repository, revision)
    except HonedError:
        raise
    except GatedRepoError:
        reason = "its owner grants access on request; log in with: hf auth login"
    except RevisionNotFoundError:
        reason = f"the repository has no revision {revision}"
    except RepositoryNotFoundError:
        reason = "there is no such public repository (for a private one log in with: hf auth login)"
    except LocalEntryNotFoundError as error:
        part = type(error).__name__ == "IncompleteSnapshotError"  # which older versions of the library have not
        reason = f"{'a part of it only is' if part else 'it is not'} in the cache and the Hub cannot be reached"
    except Exception as error:  # the library lets those of its HTTP client through
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}"
    raise SourceError(f"Hugging Face {shown}: {reason}")


def _fetch(repository: str, revision: str | None) -> Path:
    from huggingface_hub import HfApi, snapshot_download

    path = Path(snapshot_download(repository, revision=revision, allow_patterns=list(_SMALL)))
    if not (path / "tokenizer.json").is_file() and not (path / _TEKKEN).is_file():
        snapshot_download(repository, revision=path.name, allow_patterns=[_TEKKEN])
    wanted = _weight_files(path)
    missing = [name for name in wanted if not (path / name).is_file()]
    if wanted and not missing:
        return path
    commit = path.name
    try:
        siblings = HfApi().model_info(repository, revision=commit).siblings or []
    except Exception:
        if not (path / "config.json").is_file():
            raise
        lacks = missing[0] if missing else "the weight file"
        raise SourceError(
            f"Hugging Face {repository}: a part of it only is in the cache ({lacks} is missing), "
            "and the Hub cannot be reached"
        ) from None
    listed = [sibling.rfilename for sibling in siblings]
    wanted = [name for name in _weight_files(path, listed) if name in listed]
    if not wanted:
        raise SourceError(f"Hugging Face {repository}: {_what_is_there(listed)}")
    import glob

    # Patterns of fnmatch, in which these names stand for themselves.
    snapshot_download(repository, revision=commit, allow_patterns=[glob.escape(name) for name in wanted])
    return path


def _weight_files(path: Path, listed: Collection[str] = ()) -> list[str]:
    """What the small files name: those of an artifact, else the single file where there is one, else the shards.

    Errors: FormatError for names that lead elsewhere.
    """
    if (path / _MANIFEST).is_file():
        return _manifest_files(path / _MANIFEST)
    if _SINGLE in listed or (path / _SINGLE).is_file():
        return [_SINGLE]
    if (path / _INDEX).is_file():
        from honed.checkpoints.huggingface.index import read_index

        return list(read_index(path / _INDEX))
    return []


def _manifest_files(path: Path) -> list[str]:
    from honed.checkpoints.json_files import read_object
    from honed.errors import FormatError, quoted

    manifest = read_object(path)
    files = manifest.get("files")
    if not isinstance(files, dict):
        raise FormatError(path, "files", "must be an object of the files of the artifact")
    documents = manifest.get("documents")
    names = [*files, *(documents if isinstance(documents, dict) else ())]
    for name in names:
        parts = PurePosixPath(name).parts
        plain = name == "/".join(parts) and not {"..", "/"} & set(parts) and not PureWindowsPath(name).drive
        if not plain or "\\" in name or not name.isprintable():
            raise FormatError(path, "files", f"{quoted(name)} leads out of the directory")
    return [name for name in names if PurePosixPath(name).suffix in _TYPES]


def _what_is_there(listed: Collection[str]) -> str:
    gguf = sorted(name for name in listed if name.lower().endswith(".gguf"))
    if gguf:
        return (
            f"it holds GGUF files only; download one (hf download, for instance of {gguf[0]}) and name it by its path"
        )
    if "adapter_config.json" in listed:
        return "it holds an adapter, which has to be merged into its model first (merge_and_unload of peft)"
    if any(name.endswith(_PICKLES) for name in listed):
        return "it holds pickled weights only; reading those can run code, so they are refused"
    if _MANIFEST in listed or _INDEX in listed:
        return "the files that its index or manifest names are not there"
    return f"it has neither {_SINGLE} nor {_INDEX}"
