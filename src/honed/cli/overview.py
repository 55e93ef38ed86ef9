"""The overview of the command line: the first commands to type, and the verbs."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

SUMMARIES = {
    "chat": "talk with a model",
    "generate": "reply to one prompt",
    "serve": "models for many users, over HTTP",
    "embed": "vectors of texts",
    "run": "a file of prompts or texts, resumable",
    "models": "what is in the caches, and remove it",
    "compress": "make a smaller, faster artifact of a model",
    "train": "a head, adapters or all weights, on a labelled file",
    "export": "write a model as a GGUF file",
    "recipes": "the ways of compressing, and what each did to a model",
    "sensitivity": "what each layer costs a model when stored otherwise",
    "eval": "measure the quality of a model against its original",
    "bench": "measure speed, also against other systems",
    "bench-recipes": "what each way of compressing does to a model",
    "inspect": "what a checkpoint holds, and what is missing if it does not run",
    "families": "the kinds of models that run, each one tried",
    "demo": "compress, measure and ask, at once",
    "doctor": "what this machine and installation offer",
    "costs": "what a layer takes here in each way to store it",
    "version": "the version of honed",
}
_FIRST = (
    ("honed chat smollm2", "talk with a small model (98 MB, downloaded once)"),
    ('honed generate smollm2 "What is the capital of France?"', "one reply"),
    ("honed compress smollm2 --recipe int8 -o out/int8", "smaller and faster; honed eval out/int8 measures the cost"),
)


def overview(verbs: Sequence[str], width: int) -> str:
    """The first commands to type and the verbs, for a terminal of that many columns."""
    width = max(20, min(width, 100))
    about = "honed makes a transformer as fast as this machine allows, and proves that it is still the same model."
    lines = [*textwrap.wrap(about, width), "", "Begin with:"]
    for command, what in _FIRST:
        lines += [f"  {command}", *textwrap.wrap(what, width, initial_indent="      ", subsequent_indent="      ")]
    lines += ["", "Verbs:"]
    column = max(map(len, verbs)) + 4
    for verb in [verb for verb in SUMMARIES if verb in verbs] + [verb for verb in verbs if verb not in SUMMARIES]:
        text = SUMMARIES.get(verb, "")
        lines += textwrap.wrap(f"{f'  {verb}':{column}}{text}", width, subsequent_indent=" " * column) or [f"  {verb}"]
    lines += ["", *textwrap.wrap("honed VERB --help explains one of them, with examples.", width)]
    return "\n".join(lines) + "\n"
