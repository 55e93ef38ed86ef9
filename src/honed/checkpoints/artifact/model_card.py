"""The README.md of an artifact: what it is and which tools read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from honed.checkpoints.artifact.manifest import Provenance
from honed.checkpoints.compressed_tensors.format import is_w8a8
from honed.encodings.scheme import CodebookScheme, Int4Scheme, Scheme

_LAST = (
    "",
    "honed.json holds the source files' SHA-256, the recipe, versions, and a checksum of every file here.",
    "",
)


def model_card(provenance: Provenance, linear: Mapping[str, Scheme], head: Scheme | None) -> str:
    """`linear` are the encoded layers, which other tools see; `head` is the encoded head, which they do not."""
    lines = [
        f"# {provenance.source}, compressed by honed",
        "",
        "| encoding | weights |",
        "| --- | --- |",
        *(f"| {text} | {count} |" for text, count in Counter(map(str, linear.values())).most_common()),
        *([] if head is None else [f"| head: {head} | 1 |"]),
        "",
        "Read by:",
        "",
        "- honed: everything, with the activation scales and the encoded head that honed.json describes.",
    ]
    if any(isinstance(scheme, CodebookScheme) for scheme in linear.values()):
        lines += [
            "- no other tool: compressed-tensors has no place for indices of a codebook, and config.json declares a",
            "  type that others refuse. In model.safetensors `weight_codes` holds two indices a byte, the first in the",
            "  low bits, and `weight_scale` the scale of each group; the sixteen values are in honed.json.",
        ]
        return "\n".join([*lines, *_LAST])
    lines.append("- transformers and vLLM with compressed-tensors: the same layer weights; the head is the dense one.")
    if any(not is_w8a8(scheme) for scheme in linear.values()):
        lines.append("  Layers in groups are declared weight-only there, so their activations stay in floating point.")
    if any(isinstance(scheme, Int4Scheme) and scheme.offset == "minimum" for scheme in linear.values()):
        lines += [
            "",
            "The int4 groups of this model have float minimums, which compressed-tensors cannot express. Other tools",
            "see the nearest integer zero points: **a coarser model than the one that was measured**. The recipe",
            "int4-zero-point makes one that is the same everywhere.",
        ]
    return "\n".join([*lines, *_LAST])
