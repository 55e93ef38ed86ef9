"""How the blocks of a GGUF file run with the file's own values, by ggml's names of them.

Where scales fit float16 they are integers in groups like any other (`gguf_integers.py`); where they are products of a
float16 factor and a small integer they are kept as both, in a format of their own. Not here: the blocks themselves.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from honed.encodings.codebook import GGML_VALUES, CodebookScheme
from honed.encodings.descriptor import Format, kernels_of
from honed.encodings.int4 import Int4Scheme
from honed.encodings.int8 import Int8Scheme
from honed.encodings.mxfp4 import SCHEME as MXFP4_SCHEME
from honed.records import dataclass

SuperBlockType = Literal[
    "Q2_K",
    "Q3_K",
    "Q4_K",
    "Q5_K",
    "Q5_1",
    "Q6_K",
    "IQ4_XS",
    "IQ3_S",
    "IQ3_XXS",
    "IQ2_XXS",
    "IQ1_S",
    "IQ2_XS",
    "IQ2_S",
    "IQ1_M",
]
_BYTES_OF_256: dict[SuperBlockType, int] = {
    "Q2_K": 148,
    "Q3_K": 146,
    "Q4_K": 148,
    "Q5_K": 276,
    "Q5_1": 288,
    "Q6_K": 274,
    "IQ4_XS": 138,
    "IQ3_S": 138,
    "IQ3_XXS": 138,
    "IQ2_XXS": 138,
    "IQ1_S": 138,
    "IQ2_XS": 146,
    "IQ2_S": 146,
    "IQ1_M": 146,
}
"""What 256 weights of one output take in packed super-blocks: codes of four or eight bits, factors, levels. The
points of the smallest formats have few coordinates, so that they are codes of four bits too."""


@dataclass(frozen=True)
class BlocksFormat:
    """Blocks whose scales are products, kept as their factors. Activations in front of them are in groups of 32."""

    name: ClassVar[str] = "blocks"
    quantizes: ClassVar[bool] = kernels_of(name).quantizes
    looked_up: ClassVar[bool] = kernels_of(name).looked_up
    activation_group: ClassVar[int] = 32

    type_name: SuperBlockType

    @property
    def label(self) -> str:
        return f"{self.type_name} blocks"

    def packed_bytes(self, columns: int, k: int) -> int:
        return columns * (k * _BYTES_OF_256[self.type_name] // 256)

    def __str__(self) -> str:
        return f"{self.type_name} blocks, activations in groups of {self.activation_group}"


BLOCK_FORMATS: dict[str, Format] = {
    "Q8_0": Int8Scheme(32, 32),
    "Q5_0": Int8Scheme(32, 32),
    "Q4_0": Int4Scheme(32, "symmetric", 32),
    "Q4_1": Int4Scheme(32, "minimum", 32),
    "IQ4_NL": CodebookScheme(32, GGML_VALUES, 32),
    "TQ1_0": Int4Scheme(32, "symmetric", 32),
    "TQ2_0": Int4Scheme(32, "symmetric", 32),
    "MXFP4": MXFP4_SCHEME,
    **{name: BlocksFormat(name) for name in _BYTES_OF_256},
}
"""Of what is not listed nothing runs as it is."""
DECODED_TABLES = ("IQ1", "IQ2", "IQ3", "TQ", "MXFP4")
"""How the names of those begin of which kernels look no rows up, but in bfloat16."""
