"""What configs call the activation between the two layers of an MLP without a gate.

Not here: gated ones, which decoders have (`config.py`).
"""

from __future__ import annotations

from honed.errors import UnsupportedError, quoted
from honed.models.config import Fields
from honed.ops.values import Activation

UNGATED_ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
"""gelu is that of the error function (Hendrycks and Gimpel 2016)."""


def read_ungated(fields: Fields, field: str, default: str) -> Activation:
    """The activation that a field names. Errors: UnsupportedError naming those that are known."""
    name = fields.text(field, default=default)
    if name not in UNGATED_ACTIVATIONS:
        supported = ", ".join(sorted(UNGATED_ACTIVATIONS))
        raise UnsupportedError(f"{fields.source}: {field} {quoted(name)} is not supported; supported are {supported}")
    return UNGATED_ACTIVATIONS[name]
