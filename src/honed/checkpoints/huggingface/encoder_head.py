"""The head of an encoder, as the weights beside its config have it.

A config goes on naming a head when only the encoder below it was saved, as sentence encoders are; and a masked
language model may hold the table once more as its last layer, or one that was trained apart from it. Not here: what
heads are made of, which families say, and what labels are called (`labels.py`).
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import TYPE_CHECKING, Any

from honed.checkpoints.huggingface.own_head import config_with_own_head
from honed.models.encoder_heads import HeadKind
from honed.models.encoder_layers import TABLE
from honed.models.registry import family_of

if TYPE_CHECKING:
    from honed.checkpoints.huggingface.directory import Directory

_TIES = "tie_word_embeddings"


def config_with_head(
    config: Mapping[str, Any], kind: HeadKind, directory: Directory, names: Container[str]
) -> tuple[Mapping[str, Any], frozenset[str]]:
    """Of an encoder whose config names a head of this kind: the config as its tensors, by their `names` in the model,
    bear it out, and the names of those that are copies of others.

    Without the weights of the head it is the config of the encoder below; some of them missing is found later, as of
    any weight.
    """
    config = with_head_that_is_there(config, kind, names)
    family = family_of(config, directory.config_path)
    if kind != "vocabulary" or config.get(_TIES, True) is not True:
        return config, frozenset()
    tied, last = True, f"{family.decoder}.weight"
    if last in names:
        found = config_with_own_head(directory, TABLE if TABLE in names else family.table, last)
        tied = found.get(_TIES, True)
    # Older files hold what is tied, the bias too, under the name of the last layer besides.
    return {**config, _TIES: tied}, frozenset((f"{family.decoder}.bias", last) if tied else ())


def with_head_that_is_there(config: Mapping[str, Any], kind: HeadKind, names: Container[str]) -> Mapping[str, Any]:
    """The config, which names a head of this kind; where its weights are not among `names`, that of the encoder."""
    family = family_of(config)
    if f"{family.heads[kind]}.weight" in names:
        return config
    return {**config, "architectures": [family.class_name]}
