"""How the rows of an encoder become one of a text: what sentence-transformers writes beside the weights.

modules.json lists the steps, `1_Pooling/config.json` says which rows count, sentence_bert_config.json how long a text
may be, and config_sentence_transformers.json which words go before it. Checkpoints without them are encoders all the
same: the mean of their rows is taken then, which is what sentence-transformers does. Not here: doing it (`tasks/`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from honed.checkpoints.base import Checkpoint, Listed
from honed.checkpoints.json_files import CONFIG_BYTES, read_list, read_object
from honed.checkpoints.members import find_member
from honed.errors import FormatError, UnsupportedError, quoted
from honed.records import dataclass

Pooling = Literal["mean", "cls", "last"]
"""Of the rows of a text: their mean, the first one (that of [CLS] or <s>), the last one."""
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)

MODULES = "modules.json"
PROMPTS = "config_sentence_transformers.json"
LIMITS = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
MAX_MODULES = 16
MAX_PROMPTS = 1024
MAX_LIMIT = 1 << 27

_MODES: dict[str, Pooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "last",
}
_OTHER_MODES = ("pooling_mode_max_tokens", "pooling_mode_mean_sqrt_len_tokens", "pooling_mode_weightedmean_tokens")
_NAMED: dict[str, Pooling] = {"mean": "mean", "cls": "cls", "lasttoken": "last"}


@dataclass(frozen=True)
class SentenceSettings:
    """What a checkpoint says. `pooling` None: nothing, and the mean is usual.

    limit: tokens of a text with those around it, None where only the model bounds it. lowercase: the text is made so
    first. prompts: words to put before a text, by name; default_prompt: the name of those that are put there where
    none is asked for. pools_prompt: whether the rows of those words count.
    """

    pooling: Pooling | None = None
    normalize: bool = False
    limit: int | None = None
    lowercase: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    pools_prompt: bool = True


def read_sentence_settings(checkpoint: Checkpoint) -> SentenceSettings:
    """Errors: FormatError for files that are malformed, UnsupportedError for steps and poolings that are not known."""
    return _read(_Files(checkpoint))


def sentence_files(checkpoint: Checkpoint) -> tuple[str, ...]:
    """The names of the files that `read_sentence_settings` reads, which say all that it gives. Errors as there."""
    files = _Files(checkpoint)
    _read(files)
    return tuple(files.found)


def _read(files: _Files) -> SentenceSettings:
    pooling, normalize, pools_prompt, folder = _read_modules(files)
    limit, lowercase = _read_limit(files, folder)
    prompts, default = _read_prompts(files)
    return SentenceSettings(pooling, normalize, limit, lowercase, prompts, default, pools_prompt)


class _Files:
    """Those of a checkpoint by name, and which of them were `found`. A checkpoint that is a single file has none."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.found: list[str] = []

    def find(self, name: str) -> Path | None:
        if isinstance(self.checkpoint, Listed) and not self.checkpoint.lists(name):
            return None
        path = find_member(self.checkpoint.path, name)
        if path is not None and name not in self.found:
            self.found.append(name)
        return path

    def settings(self, name: str) -> tuple[Path | None, Mapping[str, Any]]:
        path = self.find(name)
        return path, {} if path is None else read_object(path, CONFIG_BYTES, duplicates="note")


def _read_modules(files: _Files) -> tuple[Pooling | None, bool, bool, str]:
    """Pooling, whether rows are normalized, whether the prompt counts, and the folder of the transformer's settings."""
    path = files.find(MODULES)
    if path is None:
        return None, False, True, ""
    modules = read_list(path, CONFIG_BYTES, values=16 * MAX_MODULES)
    if len(modules) > MAX_MODULES:
        raise FormatError(path, "modules", f"lists {len(modules)}, must be at most {MAX_MODULES}")
    pooling: Pooling | None = None
    normalize, pools_prompt, folder = False, True, ""
    for number, module in enumerate(modules):
        kind, place = _module(path, number, module)
        match kind:
            case "Transformer" if number == 0:
                folder = place
            case "Pooling" if pooling is None:
                pooling, pools_prompt = _read_pooling(files, f"{place}/config.json" if place else "config.json")
            case "Normalize" if pooling is not None and not normalize:
                normalize = True
            case _:
                raise UnsupportedError(
                    f"{path}: module {number} is {quoted(kind)}, which is not supported there; supported are one "
                    "Transformer, one Pooling and one Normalize in this order"
                )
    return pooling, normalize, pools_prompt, folder


def _module(path: Path, number: int, module: object) -> tuple[str, str]:
    """The class of a module, without the package that it lies in, and the folder of its settings."""
    kind = module.get("type") if isinstance(module, dict) else None
    place = module.get("path", "") if isinstance(module, dict) else None
    if not isinstance(kind, str) or not isinstance(place, str):
        raise FormatError(path, f"module {number}", "must be an object with a type and a path")
    parts = PurePosixPath(place).parts
    if place != "/".join(parts) or ".." in parts or "\\" in place or "\0" in place or len(place) > 255:
        raise FormatError(path, f"module {number}", f"path {quoted(place)} leads out of the directory")
    return kind.rpartition(".")[2], place


def _read_pooling(files: _Files, name: str) -> tuple[Pooling, bool]:
    path, settings = files.settings(name)
    if path is None:
        raise FormatError(files.checkpoint.path, name, f"is missing; {MODULES} lists it")
    for mode in (*_MODES, *_OTHER_MODES, "include_prompt"):
        if not isinstance(settings.get(mode, False), bool):
            raise FormatError(path, mode, f"is {quoted(settings[mode])}, but must be true or false")
    pools_prompt = settings.get("include_prompt", True)
    chosen = [mode for mode in (*_MODES, *_OTHER_MODES) if settings.get(mode)]
    named = settings.get("pooling_mode")
    if named is not None and not chosen:
        modes = named if isinstance(named, list) else [named]
        if len(modes) == 1 and isinstance(modes[0], str) and modes[0] in _NAMED:
            return _NAMED[modes[0]], pools_prompt
        raise UnsupportedError(
            f"{path}: pooling_mode {quoted(named)} is not supported; supported are {', '.join(_NAMED)}"
        )
    if len(chosen) != 1 or chosen[0] not in _MODES:
        raise UnsupportedError(
            f"{path}: pools by {' and '.join(chosen) or 'nothing'}, which is not supported; supported is one of "
            f"{', '.join(_MODES)}"
        )
    return _MODES[chosen[0]], pools_prompt


def _read_limit(files: _Files, folder: str) -> tuple[int | None, bool]:
    """Most tokens of a text, and whether it is made lower case: of the sentences, else what the tokenizer says."""
    for name in LIMITS:
        path, settings = files.settings(f"{folder}/{name}" if folder else name)
        if path is None:
            continue
        limit, lowercase = settings.get("max_seq_length"), settings.get("do_lower_case", False)
        if not isinstance(lowercase, bool):
            raise FormatError(path, "do_lower_case", f"is {quoted(lowercase)}, but must be true or false")
        if limit is not None:
            if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= MAX_LIMIT:
                raise FormatError(
                    path, "max_seq_length", f"is {quoted(limit)}, but must be an integer from 1 to {MAX_LIMIT}"
                )
            return limit, lowercase
        return _tokenizer_limit(files), lowercase
    return _tokenizer_limit(files), False


def _tokenizer_limit(files: _Files) -> int | None:
    """Of tokenizer_config.json, where that is no number for "none" that no text reaches."""
    limit = files.settings("tokenizer_config.json")[1].get("model_max_length")
    if isinstance(limit, int | float) and not isinstance(limit, bool) and 1 <= limit <= MAX_LIMIT:
        return int(limit)
    return None


def _read_prompts(files: _Files) -> tuple[Mapping[str, str], str | None]:
    path, settings = files.settings(PROMPTS)
    prompts = settings.get("prompts") or {}
    if path is None:
        return {}, None
    well_formed = isinstance(prompts, dict) and all(isinstance(text, str) for text in prompts.values())
    if not well_formed or len(prompts) > MAX_PROMPTS:
        raise FormatError(path, "prompts", f"must be an object of at most {MAX_PROMPTS} texts")
    default = settings.get("default_prompt_name")
    if default is not None and default not in prompts:
        raise FormatError(
            path, "default_prompt_name", f"is {quoted(default)}, but must be one of {', '.join(prompts) or 'none'}"
        )
    # sentence-transformers 5 lists the two usual names with nothing in them.
    return {name: text for name, text in prompts.items() if text}, default if prompts.get(default) else None
