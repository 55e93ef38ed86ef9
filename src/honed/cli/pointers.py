"""Which of our verbs and options was meant by a word that is none of them.

People come from other tools and bring their words along. Each known one gets a sentence with the command to type here.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from honed.errors import HonedError, quoted

# Verb of another tool: what it is here, and the command.
POINTERS = {
    "pull": ("a model is downloaded when a verb first names it", "honed generate MODEL PROMPT"),
    "download": ("a model is downloaded when a verb first names it", "honed generate MODEL PROMPT"),
    "complete": ("one prompt is answered by generate", "honed generate MODEL PROMPT"),
    "completion": ("one prompt is answered by generate", "honed generate MODEL PROMPT"),
    "list": ("the models in the caches are listed by models", "honed models"),
    "ls": ("the models in the caches are listed by models", "honed models"),
    "cache": ("the caches are listed by models", "honed models"),
    "rm": ("models are removed from the caches by models remove", "honed models remove NAME"),
    "remove": ("models are removed from the caches by models remove", "honed models remove NAME"),
    "delete": ("models are removed from the caches by models remove", "honed models remove NAME"),
    "prune": ("models are removed from the caches by models remove", "honed models remove NAME"),
    "show": ("a model is described by inspect", "honed inspect MODEL"),
    "info": ("a model is described by inspect, this machine by doctor", "honed inspect MODEL"),
    "ps": ("no model runs in the background, a verb loads one and lets it go", "honed models"),
    "stop": ("no model runs in the background, a verb loads one and lets it go", "honed models"),
    "server": ("models are served over HTTP by serve", "honed serve MODEL"),
    "start": ("models are served over HTTP by serve", "honed serve MODEL"),
    "quantize": ("a model is quantized by compress", "honed compress MODEL --recipe int4 -o DIRECTORY"),
    "quantise": ("a model is quantized by compress", "honed compress MODEL --recipe int4 -o DIRECTORY"),
    "optimize": ("a model is made faster by compress", "honed compress MODEL --recipe int8 -o DIRECTORY"),
    "convert": ("nothing needs converting, a GGUF file or Hugging Face directory is read as it is, and an artifact is "
                "written by compress", "honed compress MODEL --recipe int8 -o DIRECTORY"),
    "create": ("an artifact is made by compress", "honed compress MODEL --recipe int8 -o DIRECTORY"),
    "perplexity": ("perplexity is measured by eval", "honed eval MODEL --reference ORIGINAL"),
    "evaluate": ("quality is measured by eval", "honed eval MODEL --reference ORIGINAL"),
    "benchmark": ("speed is measured by bench", "honed bench MODEL"),
    "env": ("this machine and installation are described by doctor", "honed doctor"),
    "system": ("this machine and installation are described by doctor", "honed doctor"),
    "install": ("a model is downloaded when a verb first names it", "honed generate MODEL PROMPT"),
    "update": ("a model name with a new revision downloads it, and honed itself is updated by pip",
               "pip install --upgrade honed"),
}  # fmt: skip

# Option of another tool's generation: how it is given here.
_OPTIONS = {
    **dict.fromkeys(("-n", "--n-predict", "--predict", "--num-predict"), "--max-tokens N"),
    **dict.fromkeys(("--max-new-tokens", "--max_new_tokens", "--max-length"), "--max-tokens N"),
    **dict.fromkeys(("-m", "--model", "-hf", "--hf-repo"), "the first argument: honed {verb} MODEL"),
    **dict.fromkeys(("-p", "--prompt"), "the second argument: honed generate MODEL PROMPT"),
    **dict.fromkeys(("-t", "--num-threads", "--n-threads"), "--threads N"),
    **dict.fromkeys(("-c", "--ctx-size", "--num-ctx", "--n-ctx", "--context-length"), "--context N"),
    **dict.fromkeys(("-s",), "--seed N"),
    **dict.fromkeys(("--temp",), "--temperature T"),
    **dict.fromkeys(("--repeat-penalty", "--repeat_penalty"), "--repetition-penalty P"),
    **dict.fromkeys(("-sys", "--system-prompt"), "--system TEXT"),
    **dict.fromkeys(("--cache-type-k", "--cache-type-v", "-ctk", "-ctv", "--kv-cache-dtype"), "--kv TYPE"),
    **dict.fromkeys(("-i", "--interactive", "-cnv", "--conversation"), "a verb: honed chat MODEL"),
    **dict.fromkeys(("--no-cnv", "-no-cnv", "--no-chat", "--no-conversation"), "--raw"),
    **dict.fromkeys(("--format",), "--json"),
}  # fmt: skip


def explain_option(verb: str, words: Sequence[str], options: Mapping[str, tuple[str, Any]]) -> None:
    """Raises HonedError for a word that is no option of the verb but a prompt, or an option of another tool.

    `options`: those of the verb, by flag, with name and type. Everything else that is wrong is left to the reader of
    the command line.
    """
    rest = iter(words)
    for word in rest:
        if word == "--":
            return
        if word == "-" or not word.startswith("-") or word == "-h":
            continue
        flag, equals, _ = word.partition("=")
        if flag in options:
            if options[flag][1] is not bool and not equals:
                next(rest, None)
            continue
        if flag in _OPTIONS:
            raise HonedError(f"{verb} has no {flag}: here that is {_OPTIONS[flag].format(verb=verb)}")
        if any(character.isspace() for character in flag) or not flag.startswith("--") or not flag[2:3].isalpha():
            raise HonedError(
                f"{quoted(word)} is no option: put -- before a prompt that begins with a dash, "
                f"as in honed {verb} MODEL -- {quoted(word, 40)}"
            )


def explain_verb(first: str, rest: Sequence[str], verbs: Sequence[str]) -> str:
    """One sentence about a word in the place of the verb, which is none."""
    if first.lower() in POINTERS:
        what, command = POINTERS[first.lower()]
        return f"there is no verb {first}: {what}; type: {_filled(command, rest)}"
    if first.startswith("-"):
        return f"{quoted(first)} is no option of honed itself: a verb comes first, as in honed generate MODEL PROMPT"
    near = difflib.get_close_matches(first.lower(), [*verbs, *POINTERS], n=1, cutoff=0.7)
    if near and near[0] in verbs:
        return f"there is no verb {quoted(first)}: did you mean honed {near[0]}?"
    if near:
        what, command = POINTERS[near[0]]
        return f"there is no verb {quoted(first)}: {what}; type: {_filled(command, rest)}"
    if _is_model(first):
        verb = "generate" if rest else "chat"
        return (
            f"{quoted(first)} is a model, and a verb comes before it: honed {verb} {first}{' PROMPT' if rest else ''}"
        )
    return f"there is no verb {quoted(first)}: the verbs are {', '.join(verbs)}, and honed --help explains them"


def _filled(command: str, rest: Sequence[str]) -> str:
    """A command with the name that the user gave where it takes one."""
    name = next((word for word in rest if not word.startswith("-")), None)
    if name is None or len(name) > 100 or any(character.isspace() for character in name):
        return command
    return command.replace("MODEL", name, 1) if "MODEL" in command else command.replace("NAME", name, 1)


def _is_model(word: str) -> bool:
    from pathlib import Path

    from honed.checkpoints.source import ALIASES

    if word in ALIASES or word.startswith(("pypi:", "synthetic:")) or word.lower().endswith(".gguf"):
        return True
    try:
        return "/" in word and (Path(word).is_dir() or word.count("/") == 1)
    except (OSError, ValueError):
        return False
