"""Names of tensors as files spell them, and as a model has them.

What wraps a model when it is saved stands before every name: nothing at all for a base model (AutoModel), the
containers of torch, the text part of a larger model. What a name means does not change by that. A causal language
model has the names that it has with its head, an encoder those that it has without one.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from honed.errors import FormatError, quoted
from honed.models.encoder_layers import TABLE
from honed.models.family import Family
from honed.models.layers import EMBEDDING, HEAD

_BASE = "model."
_HEAD = HEAD.removesuffix("weight")
_HEADLESS_TABLE = EMBEDDING.removeprefix(_BASE)
_OF_A_BASE_MODEL = ("embed_tokens.", "layers.", "norm.")
_WRAPPERS = ("model.language_model.", "language_model.model.", "_orig_mod.model.", "module.model.")
"""Of a model with a head. Before the head stands the part up to `model.`, and nothing for the first."""
_NORM_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
"""Of checkpoints that were trained with TensorFlow, which transformers renames too."""


def canonical_names(stored: Iterable[str], path: Path, family: Family | None = None) -> dict[str, str]:
    """The name in the model, and the name in the file, of every tensor; `family` is that of the config, where it is
    known. Errors: FormatError where two become one."""
    names = list(stored)
    present = frozenset(names)
    if family is not None and family.table not in (EMBEDDING, TABLE):
        return _family_names(names, path, family)
    if EMBEDDING in present:
        return dict(zip(names, names, strict=True))
    if _HEADLESS_TABLE in present:
        pairs = [(_BASE + name if name.startswith(_OF_A_BASE_MODEL) else name, name) for name in names]
    else:
        wrapper = next((wrapper for wrapper in _WRAPPERS if wrapper + _HEADLESS_TABLE in present), None)
        if wrapper is None:
            return _encoder_names(names, path)
        outer = "" if wrapper == _WRAPPERS[0] else wrapper.removesuffix(_BASE)
        pairs = [(_unwrapped(name, wrapper, outer), name) for name in names]
    return _unique(pairs, path)


def _family_names(names: list[str], path: Path, family: Family) -> dict[str, str]:
    """Of a family that calls its table otherwise: what stood before the names of its parts is put there again."""
    bare = family.table.removeprefix(family.base)
    headless = family.table not in names and bare in names
    pairs = [(_as_in_model(name, family), name) for name in names]
    if headless:
        pairs = [(name if name.startswith(_HEAD) else family.base + name, spelled) for name, spelled in pairs]
    return _unique(pairs, path)


def _encoder_names(names: list[str], path: Path) -> dict[str, str]:
    """Without what stands before the one table of tokens, `bert.` or the like; as they are where there is no such."""
    before = [name.removesuffix(TABLE) for name in names if name == TABLE or name.endswith(f".{TABLE}")]
    if len(before) != 1:
        return dict(zip(names, names, strict=True))
    return _unique([(_renamed(name.removeprefix(before[0])), name) for name in names], path)


def _as_in_model(name: str, family: Family) -> str:
    for old, new in family.renamed.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def _renamed(name: str) -> str:
    for old, new in _NORM_NAMES.items():
        if name.endswith(f".{old}"):
            return name.removesuffix(old) + new
    return name


def _unique(pairs: list[tuple[str, str]], path: Path) -> dict[str, str]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(name for name, spelled in pairs if found[name] != spelled)
        raise FormatError(path, quoted(twice), "is there under two names")
    return found


def _unwrapped(name: str, wrapper: str, outer: str) -> str:
    if name.startswith(wrapper):
        return _BASE + name.removeprefix(wrapper)
    return name.removeprefix(outer)
