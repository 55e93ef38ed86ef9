"""A GGUF file written tensor by tensor into a file that is open: no more than one tensor is in memory.

Not here: which tensors there are (`tensor_plan.py`), and putting the file in its place (`staged_file.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from honed.checkpoints.gguf.file_header import WrittenTensor, header_bytes, padded
from honed.checkpoints.gguf.tensor_bytes import tensor_bytes
from honed.checkpoints.gguf.tensor_plan import PlannedTensor
from honed.encodings.base import Encoded
from honed.encodings.gguf_rounding import BY_NAME
from honed.lazy_imports import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Written = Callable[[PlannedTensor, float], None]
"""Told of each tensor once it is written, with the error of codes that could not be kept exactly."""


class FileLayout:
    """What a file will be: its header, and where everything lies. vectors: tensors of float32 that are no weights."""

    def __init__(
        self, keys: Mapping[str, Any], tensors: Sequence[PlannedTensor], vectors: Mapping[str, NDArray[np.float32]]
    ) -> None:
        self.tensors = tuple(tensors)
        self.vectors = dict(vectors)
        extra = [WrittenTensor(name, values.shape, BY_NAME["F32"]) for name, values in self.vectors.items()]
        listed = [*extra, *(planned.written for planned in self.tensors)]
        self.header = header_bytes(keys, listed)
        self.nbytes = len(self.header) + sum(padded(tensor.nbytes) for tensor in listed)

    def write_header(self, file: BinaryIO) -> None:
        """The header and the vectors, and the file as long as it will be: it opens, and weights are zero."""
        file.write(self.header)
        for values in self.vectors.values():
            _put(file, np.ascontiguousarray(values, "<f4").tobytes())
        file.flush()
        file.truncate(self.nbytes)

    def write_tensors(self, file: BinaryIO, weight: Callable[[str], Encoded], written: Written) -> None:
        """The rest, behind what `write_header` wrote. weight: one by its name in the model."""
        for planned in self.tensors:
            data, error = tensor_bytes(planned, weight)
            _put(file, data.data.cast("B"))
            written(planned, error)


def _put(file: BinaryIO, data: bytes | memoryview) -> None:
    file.write(data)
    file.write(bytes(padded(len(data)) - len(data)))
