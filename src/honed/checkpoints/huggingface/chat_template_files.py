"""Where a Hugging Face directory has its chat template: files of its own first, then tokenizer_config.json.

Not here: running it (`text/chat_template.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honed.checkpoints.json_files import read_object, read_text
from honed.errors import FormatError, quoted

if TYPE_CHECKING:
    from honed.checkpoints.huggingface.directory import Directory

MAX_TEMPLATE = 1 << 20
_FILE = "chat_template.jinja"
_OLD_FILE = "chat_template.json"
_FOLDER = "additional_chat_templates"
_SETTINGS = "tokenizer_config.json"


def read_chat_template(directory: Directory, settings: Mapping[str, Any]) -> tuple[str | None, str]:
    """The template and "", or None and why there is none although there are some.

    As in transformers: chat_template.jinja, then chat_template.json of older multimodal models, then the settings. Of
    named templates the one named default; without it the only one. FormatError for what is no template.
    """
    file = directory.member(_FILE)
    if file is not None:
        return read_text(file, MAX_TEMPLATE), ""
    old = directory.member(_OLD_FILE)
    if old is not None and (value := read_object(old, duplicates="note").get("chat_template")) is not None:
        return _chosen(value, old)
    if settings.get("chat_template") is not None:
        return _chosen(settings["chat_template"], directory.path / _SETTINGS)
    folder = directory.path / _FOLDER
    names = sorted(path.name for path in folder.glob("*.jinja"))[:64] if folder.is_dir() else []
    found = {name.removesuffix(".jinja"): directory.member(f"{_FOLDER}/{name}") for name in names}
    texts = {name: read_text(path, MAX_TEMPLATE) for name, path in found.items() if path is not None}
    return _chosen(texts, folder) if texts else (None, "")


def _chosen(value: object, path: Path) -> tuple[str | None, str]:
    if isinstance(value, str):
        return _checked(value, path), ""
    if isinstance(value, list):
        value = {str(entry.get("name")): entry.get("template") for entry in value if isinstance(entry, dict)}
    if not isinstance(value, dict) or not value:
        raise FormatError(path, "chat_template", f"must be a text of at most {MAX_TEMPLATE} characters, or named texts")
    named = {str(name): _checked(template, path) for name, template in value.items()}
    chosen = named.get("default") or (next(iter(named.values())) if len(named) == 1 else None)
    if chosen is not None:
        return chosen, ""
    shown = ", ".join(quoted(name, 40) for name in list(named)[:8])
    return None, (
        f"{path}: chat_template: has {shown} and none that is named default, so it is open which is meant; write the "
        f"one to use into {_FILE} beside it"
    )


def _checked(template: object, path: Path) -> str:
    if not isinstance(template, str) or len(template) > MAX_TEMPLATE:
        raise FormatError(path, "chat_template", f"must be a text of at most {MAX_TEMPLATE} characters, or named texts")
    return template
