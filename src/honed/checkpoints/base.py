"""What every kind of checkpoint offers. Interfaces only; one file a kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from honed.encodings.base import Encoded
from honed.text.tokenizer import Tokenizer

Kind = Literal["huggingface", "gguf", "artifact"]


class Checkpoint(Protocol):
    """Files on disk that hold weights. Opening one reads headers only; weights are mapped and read on use."""

    @property
    def kind(self) -> Kind: ...

    @property
    def path(self) -> Path:
        """The directory or file."""

    @property
    def config(self) -> Mapping[str, Any]:
        """In the form of a Hugging Face config.json, whatever the file."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that hold weights, for sizes and hashes."""

    @property
    def names(self) -> tuple[str, ...]:
        """Weight names as Hugging Face spells them."""

    def weight(self, name: str) -> Encoded:
        """The weight as stored. Unknown name: KeyError."""

    def tokenizer(self) -> Tokenizer:
        """Tokenizer, special tokens and chat template of the checkpoint."""


@runtime_checkable
class Mapped(Protocol):
    """A checkpoint whose files are mapped, so that what was read of them counts as memory of the process."""

    def give_back(self) -> None:
        """Takes that memory out of the process again. Weights stay usable: what is read again comes back."""


@runtime_checkable
class Checksummed(Protocol):
    """A checkpoint that knows what its files must hold, and checks the large ones while its weights are being read."""

    def verify(self) -> None:
        """Waits for those checks; to be called before the first result. ArtifactError names a file that differs."""


@runtime_checkable
class Listed(Protocol):
    """A checkpoint that knows which files it consists of: what else lies in its directory must not be read."""

    def lists(self, name: str) -> bool:
        """Whether a file, by its path within the directory, is one of them."""


@runtime_checkable
class Quantized(Protocol):
    """A checkpoint whose config in the file says that its weights are quantized, and whose `config` no longer does."""

    @property
    def quantization(self) -> str:
        """The `quant_method` of the file."""


@runtime_checkable
class Manifested(Protocol):
    """A checkpoint that honed wrote."""

    @property
    def manifest(self) -> Mapping[str, Any]:
        """The document of honed.json: what it was made from and how, and the checksums of its files."""
