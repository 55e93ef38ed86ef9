"""The README.md of an artifact: what it is, of which kind, and which tools read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from honed.checkpoints.artifact.manifest import Provenance
from honed.checkpoints.compressed_tensors.declare import declared, has_minimums
from honed.encodings.scheme import Scheme

_LAST = (
    "",
    "honed.json holds the source files' SHA-256, the recipe, versions, and a checksum of every file of the model.",
    "",
)
_OWN_NAMES = (
    "- no other tool: others hold several of these weights in one tensor, transposed or without what is added to",
    "  them, and config.json declares a type that they refuse.",
)
_FACTORED = (
    "- no other tool: {count} linear layers are products of two factors (`factor_in`, `factor_out`; `honed_factors` in",
    "  config.json says which), and config.json declares a type that others refuse.",
)


def model_card(
    provenance: Provenance,
    layers: Mapping[str, Scheme],
    head: Scheme | None,
    *,
    tied: bool,
    own_names: bool = False,
    factored: int = 0,
) -> str:
    """`layers` are the encoded ones, and `head` the head if it is; `tied`: which is the embedding table at once.
    `own_names`: other tools have other weights in place of these. `factored`: of how many layers there are factors."""
    name = "head and embedding table, one weight" if tied else "head"
    lines = [
        f"# {provenance.source}, compressed by honed",
        "",
        "| encoding | weights |",
        "| --- | --- |",
        *(f"| {text} | {count} |" for text, count in Counter(map(str, layers.values())).most_common()),
        *([] if head is None else [f"| {name}: {head} | 1 |"]),
        "",
        _kind(provenance.portable, head, tied=tied),
        "",
        "Read by:",
        "",
        "- honed: everything, with the activation scales that honed.json describes.",
        *_readers(provenance, layers, head, tied=tied, own_names=own_names, factored=factored),
    ]
    return "\n".join([*lines, *_LAST])


def _readers(
    provenance: Provenance,
    layers: Mapping[str, Scheme],
    head: Scheme | None,
    *,
    tied: bool,
    own_names: bool,
    factored: int,
) -> Iterator[str]:
    if factored:
        yield from (line.format(count=factored) for line in _FACTORED)
    elif own_names:
        yield from _OWN_NAMES
    else:
        yield from _others(provenance.portable, layers, head, tied=tied)


def _kind(portable: bool, head: Scheme | None, *, tied: bool) -> str:
    if not portable:
        return "Every weight is stored once."
    if head is None:
        return "Written for other tools too (`--portable`)."
    what = "The embedding table, which is the head too," if tied else "The head"
    return (
        f"Written for other tools too (`--portable`). {what} is there dense for them, beside the encoded one in\n"
        "`honed/head.safetensors`, which honed reads in its place."
    )


def _others(portable: bool, layers: Mapping[str, Scheme], head: Scheme | None, *, tied: bool) -> Iterator[str]:
    encoded = (*layers.values(), *(() if head is None or portable else (head,)))
    said = [found for scheme in encoded if (found := declared(scheme)) is not None]
    unread = next((found.card for found in said if found.told is None), None)
    if unread is not None:
        yield from unread
        return
    minimums = any(map(has_minimums, encoded))
    if not portable and (tied or minimums):
        yield "- no other tool, and config.json declares a type that others refuse:"
        if tied:
            yield "  - others look up in a dense table, and here the head is looked up in: a row of it times"
            yield "    `weight_lookup_factors` is a row of the table;"
        if minimums:
            yield "  - int4 groups have float minimums (`weight_minimum`), which compressed-tensors cannot express;"
        yield "  - `honed compress --portable` writes the same model for honed with what other tools need beside it."
        return
    same = "the same layer weights; the head is the dense one" if portable and head is not None else "the same weights"
    yield f"- {'transformers and vLLM' if portable else 'transformers'} with compressed-tensors: {same}."
    if not all(found.activations for found in said):
        yield "  Layers in groups are declared weight-only there, so their activations stay in floating point."
    if minimums:
        yield ""
        yield "The int4 groups of this model have float minimums, which compressed-tensors cannot express. Other tools"
        yield "see the nearest integer zero points: **a coarser model than the one that was measured**. The recipe"
        yield "int4-zero-point makes one that is the same everywhere."
