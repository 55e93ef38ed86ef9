"""Directories as Hugging Face writes them: config.json, safetensors in one file or in shards, tokenizer files.

`Directory` is the files (config and raw tensors, nothing decoded); `HuggingFaceCheckpoint` reads its tensors as dense
weights. Pickled weights (.bin, .pt) are never opened, since reading them can run code. Not here: compressed weights
and manifests (`artifact/`), the tokenizer (`tokenizer.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from honed.checkpoints.base import Kind
from honed.checkpoints.consistency import check_consistency
from honed.checkpoints.json_files import read_object
from honed.checkpoints.safetensors.reader import Entry, SafetensorsFile
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense, DenseType, MappedDense
from honed.errors import FormatError, SourceError, UnsupportedError
from honed.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from numpy.typing import NDArray


CONFIG = "config.json"
SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_DENSE: dict[str, DenseType] = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


class Directory:
    """The files of one model directory. Opening it reads config.json and the header of every shard.

    Errors: SourceError for a missing directory or file, FormatError for malformed files, shards that disagree with
    their index, and names or links that lead out of the directory; UnsupportedError if only pickled weights are there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_dir():
            raise SourceError(f"{path}: is not a directory")
        config = self.member(CONFIG)
        if config is None:
            raise SourceError(f"{path}: has no {CONFIG}; {self._what_is_there()}")
        self.config_path = config
        self.config: dict[str, Any] = read_object(config)
        self._shards = self._open_shards()
        self._owner = {name: shard for shard in self._shards for name in shard.entries}

    @property
    def files(self) -> tuple[Path, ...]:
        """The weight files."""
        return tuple(shard.path for shard in self._shards)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._owner)

    def entry(self, name: str) -> Entry:
        """Type, shape and size of a raw tensor. Unknown name: KeyError."""
        return self._owner[name].entries[name]

    def tensor(self, name: str) -> NDArray[Any]:
        """A raw tensor, mapped; bfloat16 as uint16 bits. Unknown name: KeyError."""
        return self._owner[name].tensor(name)

    def stored(self, name: str) -> memoryview:
        """The bytes of a raw tensor, mapped. Unknown name: KeyError."""
        return self._owner[name].stored(name)

    def member(self, name: str) -> Path | None:
        """The path of a file of the directory, None if there is none; FormatError if it is a link that leads out."""
        path = self.path / name
        if not path.is_file():
            return None
        resolved = path.resolve()
        root = self.path.resolve()
        allowed = [root]
        if root.parent.name == "snapshots":  # huggingface-hub's cache: snapshots/REVISION/FILE links to blobs/HASH
            allowed.append(root.parent.parent / "blobs")
        if not any(resolved.is_relative_to(place) for place in allowed):
            raise FormatError(path, "link", "leads out of the directory")
        return path

    def give_back(self) -> None:
        """The pages read so far of every weight file."""
        for shard in self._shards:
            shard.give_back()

    def _open_shards(self) -> tuple[SafetensorsFile, ...]:
        single = self.member(SINGLE)
        if single is not None:
            return (SafetensorsFile(single),)
        index = self.member(INDEX)
        if index is None:
            if any(child.suffix in PICKLES for child in self.path.iterdir()):
                raise UnsupportedError(
                    f"{self.path}: holds pickled weights only; reading those can run code, so they are refused. "
                    "Convert them to safetensors where you trust them (save_pretrained of transformers does)"
                )
            raise SourceError(f"{self.path}: has neither {SINGLE} nor {INDEX}; {self._what_is_there()}")
        return self._open_indexed(index)

    def _open_indexed(self, index: Path) -> tuple[SafetensorsFile, ...]:
        weight_map = read_object(index).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise FormatError(index, "weight_map", "must be an object from tensor to file")
        expected: dict[str, set[str]] = {}
        for name, file in weight_map.items():
            if not name.isprintable():
                raise FormatError(index, "weight_map", f"{name!r:.100} is not printable")
            expected.setdefault(_plain_name(file, index, name), set()).add(name)
        shards = []
        for file, names in sorted(expected.items()):
            path = self.member(file)
            if path is None:
                raise SourceError(f"{index}: weight_map: the shard {file} is not in the directory")
            shard = SafetensorsFile(path)
            for name in sorted(names ^ set(shard.entries)):
                fault = "is listed in the index, but not in the file" if name in names else "is not listed in the index"
                raise FormatError(path, name, fault)
            shards.append(shard)
        return tuple(shards)

    def _what_is_there(self) -> str:
        found = sorted(child.name for child in self.path.iterdir())
        gguf = [name for name in found if name.endswith(".gguf")]
        if gguf:
            return f"name the GGUF file itself: {self.path / gguf[0]}"
        return f"it holds {', '.join(found[:8]) or 'nothing'}{', ...' if len(found) > 8 else ''}"


def _plain_name(file: object, index: Path, name: str) -> str:
    """A shard's file name, which must be a safetensors file of the directory itself."""
    plain = isinstance(file, str) and file == PurePosixPath(file).name == PureWindowsPath(file).name
    if not isinstance(file, str) or not plain or not file.endswith(".safetensors") or "\0" in file:
        raise FormatError(index, f"weight_map: {name}", f"{file!r:.100} must be a .safetensors file of the directory")
    return file


class HuggingFaceCheckpoint:
    """A directory of float32, float16 or bfloat16 weights."""

    def __init__(self, directory: Directory) -> None:
        """Errors: as `Directory`, and FormatError where config and weights disagree."""
        self._directory = directory
        quantization = directory.config.get("quantization_config")
        if quantization is not None:
            method = quantization.get("quant_method") if isinstance(quantization, dict) else quantization
            raise UnsupportedError(
                f"{directory.config_path}: quantization_config: quant_method {method!r:.60} is not read here; "
                "use the unquantized checkpoint"
            )
        shapes = {name: directory.entry(name).shape for name in directory.names}
        check_consistency(directory.config, directory.config_path, shapes, directory.path)

    @property
    def kind(self) -> Kind:
        return "huggingface"

    @property
    def path(self) -> Path:
        return self._directory.path

    @property
    def config(self) -> Mapping[str, Any]:
        return self._directory.config

    @property
    def files(self) -> tuple[Path, ...]:
        return self._directory.files

    @property
    def names(self) -> tuple[str, ...]:
        return self._directory.names

    def weight(self, name: str) -> Encoded:
        return dense_weight(self._directory, name)

    def give_back(self) -> None:
        self._directory.give_back()

    def tokenizer(self) -> Tokenizer:
        from honed.checkpoints.huggingface.tokenizer import read_tokenizer

        return read_tokenizer(self._directory)


def dense_weight(directory: Directory, name: str) -> Dense:
    """A float tensor as it lies. Unknown name: KeyError. Another type: UnsupportedError."""
    entry = directory.entry(name)
    if entry.dtype not in _DENSE:
        raise UnsupportedError(
            f"{directory.path}: tensor {name}: type {entry.dtype} is not a weight; supported are {', '.join(_DENSE)}"
        )
    return MappedDense(directory.stored(name), _DENSE[entry.dtype], entry.shape)
