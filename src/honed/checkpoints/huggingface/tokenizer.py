"""The tokenizer of a Hugging Face directory: tokenizer.json, and what the files around it say of special tokens.

Not here: vocabularies without a tokenizer.json (their splitting rules are in transformers' code, not in the files),
and running the chat template (`text/chat_template.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer as FastTokenizer

from honed.checkpoints.huggingface.kept_tokenizer import KeptTokenizer
from honed.checkpoints.json_files import read_bytes, read_object, read_text
from honed.errors import FormatError, UnsupportedError
from honed.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from honed.checkpoints.huggingface.checkpoint import Directory

MAX_TEMPLATE = 1 << 20
_ROLES = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token")


def read_tokenizer(directory: Directory) -> Tokenizer:
    """Errors: UnsupportedError without a tokenizer.json, FormatError for malformed files."""
    path = directory.member("tokenizer.json")
    if path is None:
        raise UnsupportedError(
            f"{directory.path}: has no tokenizer.json; write one with transformers (AutoTokenizer, save_pretrained)"
        )
    fast = _read_fast(path)
    settings = _object(directory, "tokenizer_config.json")
    special = _special_tokens(settings) or _special_tokens(_object(directory, "special_tokens_map.json"))
    begin = None if "bos_token" not in special else fast.token_to_id(special["bos_token"])
    ends = _token_ids(directory, "eos_token_id") | (
        {fast.token_to_id(special["eos_token"])} if "eos_token" in special else set()
    )
    size = fast.get_vocab_size(with_added_tokens=True)
    return Tokenizer(
        fast=fast,
        # Some configs hold -1 or an id past the vocabulary for "none"; neither can ever be generated.
        end_tokens=frozenset(token for token in ends if token is not None and 0 <= token < size),
        begin_token=begin,
        adds_begin_token=_adds_begin(fast, begin, settings),
        chat_template=_chat_template(directory, settings),
        special_tokens=special,
    )


def _read_fast(path: Path) -> FastTokenizer:
    kept = KeptTokenizer(read_bytes(path))
    found = kept.read()
    if found is None:
        found = build_fast(read_text(path), str(path))
        kept.keep(found)
    return found


def build_fast(text: str, path: str) -> FastTokenizer:
    """A `tokenizers` object from the text of a tokenizer.json. Errors: FormatError."""
    try:
        fast = FastTokenizer.from_str(text)
        # Missing tokens that the post-processor or the model names (unk) are found only by use, the former by a panic.
        # The text is a character that no vocabulary holds.
        fast.encode("\U0010fffd", add_special_tokens=True)
    except BaseException as error:  # the library raises plain Exception, and panics derive from BaseException
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise FormatError(path, "tokenizer", f"{str(error)!r:.200}") from None
    return fast


def _object(directory: Directory, name: str) -> Mapping[str, Any]:
    path = directory.member(name)
    return {} if path is None else read_object(path)


def _special_tokens(settings: Mapping[str, Any]) -> dict[str, str]:
    """bos_token and the like, given as text or as an object with `content`."""
    found: dict[str, str] = {}
    for role in _ROLES:
        value = settings.get(role)
        content = value.get("content") if isinstance(value, dict) else value
        if isinstance(content, str):
            found[role] = content
    return found


def _token_ids(directory: Directory, field: str) -> set[int | None]:
    """Ids that config.json and generation_config.json give, as one number or a list."""
    found: set[int | None] = set()
    for name, settings in (
        ("config.json", directory.config),
        ("generation_config.json", _object(directory, "generation_config.json")),
    ):
        value = settings.get(field)
        ids = value if isinstance(value, list) else [] if value is None else [value]
        if not all(isinstance(token, int) and not isinstance(token, bool) for token in ids):
            raise FormatError(directory.path / name, field, f"{value!r:.60} must be an id or a list of ids")
        found.update(ids)
    return found


def _adds_begin(fast: FastTokenizer, begin: int | None, settings: Mapping[str, Any]) -> bool:
    """What tokenizer_config.json says, else whether the post-processor puts the begin token before an empty text."""
    if begin is None:
        return False
    stated = settings.get("add_bos_token")
    if isinstance(stated, bool):
        return stated
    first: list[int] = fast.encode("", add_special_tokens=True).ids[:1]
    return first == [begin]


def _chat_template(directory: Directory, settings: Mapping[str, Any]) -> str | None:
    """chat_template.jinja first, as transformers does; then tokenizer_config.json, a text or a list of named ones."""
    file = directory.member("chat_template.jinja")
    if file is not None:
        return read_text(file, MAX_TEMPLATE)
    value = settings.get("chat_template")
    if isinstance(value, list):
        named = {entry.get("name"): entry.get("template") for entry in value if isinstance(entry, dict)}
        value = named.get("default")
    if value is not None and (not isinstance(value, str) or len(value) > MAX_TEMPLATE):
        raise FormatError(
            directory.path / "tokenizer_config.json", "chat_template", f"must be a text of at most {MAX_TEMPLATE}"
        )
    return value
