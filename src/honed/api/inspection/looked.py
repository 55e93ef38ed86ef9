"""What was found of a checkpoint that does not run. A value only; who finds it is in `directory.py` and `gguf.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from honed.api.inspection.faults import Fault
from honed.api.inspection.nearest import Nearest
from honed.api.inspection.tensors import Tensor
from honed.models.base import Model


@dataclass(frozen=True)
class Looked:
    """kind: what sort of files they are. config: as it stands there, of a GGUF file as it was read. model: where config
    and family are known, even if the weights do not fit. sizes: layers, heads and the like, by the names that a report
    has. bits: of a code, where several share a word."""

    kind: str
    files: tuple[Path, ...]
    tensors: list[Tensor]
    config: Mapping[str, Any]
    faults: list[Fault]
    sizes: Mapping[str, int] = field(default_factory=dict)
    model: Model | None = None
    nearest: Nearest | None = None
    quantization: str | None = None
    bits: int = 4
