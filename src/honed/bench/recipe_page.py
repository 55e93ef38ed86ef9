"""What recipes did to a model as text: a table of all of it, a short one, and the page around them."""

from __future__ import annotations

from collections.abc import Sequence

from honed.bench.machine import machine_line
from honed.bench.recipe_rows import LLAMA, OWN, SOURCE, RecipeResults, RecipeRow
from honed.bench.table import markdown, megabytes

HEADER = (
    *("recipe", "size", "bits a weight", "KL (95 % interval)", "top-1", "perplexity", "prefill", "of bf16", "of int8"),
    *("decode", "of bf16", "of int8", "time to make", "memory to make"),
)
SHORT = ("recipe", "size", "bits a weight", "KL", "top-1", "prefill of bf16", "decode of bf16")
FILES = ("type", "size", "bits a weight", "KL (95 % interval)", "top-1", "perplexity")


def cells(row: RecipeRow) -> list[str]:
    """Under `HEADER`."""
    if row.failed is not None:
        return [row.name, f"failed: {row.failed}", *[""] * (len(HEADER) - 2)]
    speed = row.speed
    speeds = ["-"] * 6
    if speed is not None:
        speeds = [
            *(f"{speed.prefill_tok_s:.0f}", f"{speed.prefill_of_dense:.2f}x", f"{speed.prefill_of_int8:.2f}x"),
            *(f"{speed.decode_tok_s:.0f}", f"{speed.decode_of_dense:.2f}x", f"{speed.decode_of_int8:.2f}x"),
        ]
    time = "-" if row.made_s is None else f"{row.made_s:.0f} s"
    return [row.name, *_size(row), *_quality(row), *speeds, time, megabytes(row.made_peak_bytes)]


def short_table(results: RecipeResults) -> str:
    """In Markdown, for a document about something else; what failed is left out."""
    rows = []
    for row in results.rows:
        if row.quality is not None and row.system != LLAMA:
            speeds = ["-", "-"]
            if row.speed is not None:
                speeds = [f"{row.speed.prefill_of_dense:.2f}x", f"{row.speed.decode_of_dense:.2f}x"]
            rows.append([row.name, *_size(row), f"{row.quality.kl[0]:.4f}", f"{row.quality.top1[0]:.2%}", *speeds])
    return markdown(SHORT, rows)


def page(results: RecipeResults, picture: str | None) -> str:
    """The whole document. picture: the name of one beside it."""
    about = results.about
    parts = [f"# What recipes do to {about.get('model', 'a model')}\n"]
    parts.append(
        f"Made by `honed bench-recipes`. Machine: {machine_line(about.get('machine', {}))}. Quality is measured "
        f"against the source in float32 on {about.get('tokens', 0):,} tokens of text that no recipe learned from. "
        f"Speeds are medians of {about.get('runs', 0)} runs ({about.get('workload', '')}), their ratios taken run by "
        "run against the source in bfloat16 and its int8 artifact, which took turns with each recipe.\n"
    )
    if picture is not None:
        parts.append(f"![KL divergence over size of every recipe and of llama.cpp's files]({picture})\n")
    own = [row for row in results.rows if row.system in (SOURCE, OWN)]
    parts += ["## Recipes\n", markdown(HEADER, [cells(row) for row in own])]
    files = [row for row in results.rows if row.system == LLAMA]
    if files:
        parts += [
            "## Files of llama.cpp's quantizer\n",
            "Made of the same weights by `llama-quantize` with an importance matrix of `llama-imatrix` over text that "
            "the model wrote itself. Their divergence is that of their weights, which honed reads exactly and runs in "
            "float32: what llama.cpp's own int8 activations cost is not in it.\n",
            markdown(FILES, [_file_cells(row) for row in files]),
        ]
    return "\n".join(parts)


def _file_cells(row: RecipeRow) -> list[str]:
    if row.failed is not None:
        return [row.name, f"failed: {row.failed}", *[""] * (len(FILES) - 2)]
    return [row.name, *_size(row), *_quality(row)]


def _size(row: RecipeRow) -> Sequence[str]:
    return megabytes(row.bytes), "-" if row.bits_per_weight is None else f"{row.bits_per_weight:.2f}"


def _quality(row: RecipeRow) -> Sequence[str]:
    quality = row.quality
    if quality is None:
        return "-", "-", "-"
    kl, low, high = quality.kl
    return f"{kl:.5f} ({low:.5f} to {high:.5f})", f"{quality.top1[0]:.2%}", f"{quality.perplexity[0]:.3f}"
