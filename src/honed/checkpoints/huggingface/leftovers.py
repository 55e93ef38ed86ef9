"""Tensors of a file that the model, as its config describes it, does not have.

Buffers that can be computed and parts of larger models are left alone. But a bias, a norm or an adapter inside the
layers was made by somebody who ran the model with it: without it another model runs, so it is refused unless it is
zero and changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Set
from typing import TYPE_CHECKING

from honed.errors import FormatError
from honed.models.encoder_layers import TABLE
from honed.models.layers import EMBEDDING, HEAD
from honed.models.registry import FAMILIES
from honed.notes import note

if TYPE_CHECKING:
    from honed.checkpoints.huggingface.directory import Directory

_INSIDE = re.compile(
    r"(?:model\.layers\.[0-9]+\.(?:self_attn|mlp|[a-z_]*norm[a-z_]*)|model\.(?:embed_tokens|[a-z_]*norm[a-z_]*)|lm_head)\."
)
# Heads of an encoder are no part of what it is asked for: they stand outside.
_INSIDE_ENCODER = re.compile(r"(?:embeddings|(?:encoder|transformer)\.layer\.[0-9]+)\.")
_BUFFERS = re.compile(
    r"\.(?:rotary_emb\.(?:inv_freq|cos_cached|sin_cached)|masked_bias|[kvq]_scale|kv_scale|(?:in|out)put_scale"
    r"|position_ids|token_type_ids)\Z"
)
_PIECE = 1 << 20


def check_leftovers(names: Set[str], directory: Directory) -> None:
    """`names` are the weights that the model does not use. A tied head is none of them: it was compared before.

    Errors: FormatError for a weight inside the layers that would change the result.
    """
    family = FAMILIES.get(str(directory.config.get("model_type")))
    inside = _INSIDE_ENCODER if TABLE in directory.names else _INSIDE
    if family is not None and family.table not in (EMBEDDING, TABLE):
        inside = re.compile(re.escape(family.base) + r"|lm_head\.")
    elsewhere = []
    for name in sorted(names - {HEAD}):
        if _BUFFERS.search(name) is not None or (family is not None and name.endswith(family.buffers)):
            continue
        if inside.match(name) is None:
            elsewhere.append(name)
        elif not _is_zero_bias(name, directory):
            hint = "; is attention_bias or mlp_bias missing there?" if name.endswith(".bias") else ""
            raise FormatError(
                directory.path,
                name,
                f"the model has no such weight by {directory.config_path.name} (model_type "
                f"{directory.config.get('model_type')}), and without it another model would run{hint}",
            )
    if elsewhere:
        shown = ", ".join(elsewhere[:3]) + (", ..." if len(elsewhere) > 3 else "")
        note(f"{directory.path}: {len(elsewhere)} tensors are no part of the model and are not read: {shown}")


def _is_zero_bias(name: str, directory: Directory) -> bool:
    if not name.endswith(".bias") or name not in directory.names:
        return False
    stored = directory.stored(name)
    return all(not any(bytes(stored[start : start + _PIECE])) for start in range(0, len(stored), _PIECE))
