"""The files of a directory as Hugging Face writes it: config.json, safetensors (one file or shards), the tokenizer's.

Config and raw tensors, nothing decoded. Pickled weights (.bin, .pt) are never opened, since reading them can run code.
Not here: what the tensors mean (`checkpoint.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honed.checkpoints.json_files import CONFIG_BYTES, read_object
from honed.checkpoints.members import find_member
from honed.checkpoints.safetensors.reader import Entry, SafetensorsFile
from honed.errors import FormatError, SourceError, UnsupportedError
from honed.models.layers import EMBEDDING
from honed.models.registry import FAMILIES
from honed.notes import note

if TYPE_CHECKING:
    from numpy.typing import NDArray


CONFIG = "config.json"
SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


class Directory:
    """The files of one model directory. Opening it reads config.json and the header of every shard.

    Tensors go by their names in the model, whatever wraps those in the files (`names.py`). Errors: SourceError for a
    missing directory or file, FormatError for malformed files and for names or links that lead out of the directory;
    UnsupportedError if only pickled weights are there.
    """

    def __init__(self, path: Path, listed: Collection[str] | None = None) -> None:
        """`listed`: the names of the files that are its own; others that lie in the directory are not seen."""
        self.path = path
        self._listed = listed
        if not path.is_dir():
            raise SourceError(f"{path}: is not a directory")
        config = self.member(CONFIG)
        if config is None:
            raise SourceError(f"{path}: has no {CONFIG}; {self._what_is_there()}")
        self.config_path = config
        self.config: dict[str, Any] = read_object(config, CONFIG_BYTES, duplicates="note")
        self._shards, owner = self._open_shards()
        named = _named(owner, path, self.config)
        self._owner = {name: (owner[spelled], spelled) for name, spelled in named.items()}

    @property
    def files(self) -> tuple[Path, ...]:
        """The weight files."""
        return tuple(shard.path for shard in self._shards)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._owner)

    def entry(self, name: str) -> Entry:
        """Type, shape and size of a raw tensor. Unknown name: KeyError."""
        shard, spelled = self._owner[name]
        return shard.entries[spelled]

    def tensor(self, name: str) -> NDArray[Any]:
        """A raw tensor, mapped; bfloat16 as uint16 bits. Unknown name: KeyError."""
        shard, spelled = self._owner[name]
        return shard.tensor(spelled)

    def stored(self, name: str) -> memoryview:
        """The bytes of a raw tensor, mapped. Unknown name: KeyError."""
        shard, spelled = self._owner[name]
        return shard.stored(spelled)

    def member(self, name: str) -> Path | None:
        """The path of a file of the directory, None if there is none. Errors: see `checkpoints/members.py`."""
        if self._listed is not None and name not in self._listed:
            return None
        return find_member(self.path, name)

    def give_back(self) -> None:
        """The pages read so far of every weight file."""
        for shard in self._shards:
            shard.give_back()

    def _open_shards(self) -> tuple[tuple[SafetensorsFile, ...], dict[str, SafetensorsFile]]:
        """The weight files, and which of them holds a tensor."""
        single = self.member(SINGLE)
        if single is not None:
            file = SafetensorsFile(single)
            return (file,), dict.fromkeys(file.entries, file)
        index = self.member(INDEX)
        if index is None:
            found = self._names_there()
            if any(name.endswith(PICKLES) for name in found):
                raise UnsupportedError(
                    f"{self.path}: holds pickled weights only; reading those can run code, so they are refused. "
                    "Convert them to safetensors where you trust them (save_pretrained of transformers does)"
                )
            raise SourceError(f"{self.path}: has neither {SINGLE} nor {INDEX}; {self._what_is_there()}")
        return self._open_indexed(index)

    def _open_indexed(self, index: Path) -> tuple[tuple[SafetensorsFile, ...], dict[str, SafetensorsFile]]:
        from honed.checkpoints.huggingface.index import read_index

        listed = read_index(index)
        shards: dict[str, SafetensorsFile] = {}
        for file in listed:
            path = self.member(file)
            if path is None:
                raise SourceError(f"{index}: weight_map: the shard {file} is not in the directory")
            shards[file] = SafetensorsFile(path)
        owner = {name: shards[file] for file, names in listed.items() for name in shards[file].entries if name in names}
        # What the index leaves out is there all the same; other tools read it too.
        unlisted: dict[str, SafetensorsFile] = {}
        for shard in shards.values():
            for name in shard.entries:
                if name in unlisted:
                    raise FormatError(index, name, f"is not listed, and both in {shard.path.name} and another shard")
                if name not in owner:
                    unlisted[name] = shard
        absent = [name for names in listed.values() for name in names if name not in owner]
        _note_names(index, "lists", absent, "which the shards do not hold there")
        _note_names(index, "does not list", list(unlisted), "which the shards hold")
        return tuple(shards.values()), owner | unlisted

    def _what_is_there(self) -> str:
        found = self._names_there()
        gguf = [name for name in found if name.lower().endswith(".gguf")]
        if gguf:
            return f"name the GGUF file itself: {self.path / gguf[0]}"
        if "adapter_config.json" in found:
            return "it holds an adapter, which has to be merged into its model first (merge_and_unload of peft)"
        return f"it holds {', '.join(found[:8]) or 'nothing'}{', ...' if len(found) > 8 else ''}"

    def _names_there(self) -> list[str]:
        try:
            return sorted(child.name for child in self.path.iterdir())
        except OSError as error:
            raise SourceError(f"{self.path}: cannot be read: {error.strerror or error}") from None


def _named(owner: Mapping[str, SafetensorsFile], path: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """The name in the model and in the file of every tensor."""
    if EMBEDDING in owner:
        return dict(zip(owner, owner, strict=True))
    from honed.checkpoints.huggingface.names import canonical_names

    kind = config.get("model_type")
    return canonical_names(owner, path, FAMILIES.get(kind) if isinstance(kind, str) else None)


def _note_names(index: Path, verb: str, names: list[str], relation: str) -> None:
    if names:
        shown = ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")
        note(f"{index}: weight_map {verb} {len(names)} tensors {relation}: {shown}")
