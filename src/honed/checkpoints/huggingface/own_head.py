"""A head of its own in the file of a model whose config ties the head to the embedding.

Fine-tuning can leave such files: the head was trained by itself, and the config still says that there is none. The
head of the file is the one that was trained, and it is what transformers (since 5) and vLLM run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from honed.models.layers import EMBEDDING, HEAD
from honed.notes import note

if TYPE_CHECKING:
    from honed.checkpoints.huggingface.directory import Directory

_PIECE = 1 << 20


def config_with_own_head(directory: Directory, table: str = EMBEDDING, head: str = HEAD) -> Mapping[str, Any]:
    """The config of a directory that ties the head and holds one: untied, where that differs from the embedding, which
    is the tensor `table`. head: the tensor of the head."""
    config = directory.config
    default = "" if "tie_word_embeddings" in config else " where it is left out"
    if is_embedding(directory, table, head):
        return config
    note(
        f"{directory.config_path}: tie_word_embeddings is true{default}, but the weights hold an {head} that "
        "differs from the embedding; that head is used"
    )
    return {**config, "tie_word_embeddings": False}


def is_embedding(directory: Directory, table: str, head: str = HEAD) -> bool:
    """Whether the head is, byte for byte, the embedding; differences show in the first pieces."""
    try:
        own, embedding = directory.entry(head), directory.entry(table)
    except KeyError:  # one of them is compressed
        return False
    if (own.dtype, own.shape) != (embedding.dtype, embedding.shape):
        return False
    one, other = directory.stored(head), directory.stored(table)
    return all(
        bytes(one[start : start + _PIECE]) == bytes(other[start : start + _PIECE])
        for start in range(0, len(one), _PIECE)
    )
