"""The tokenizer of a Hugging Face directory: tokenizer.json, or Mistral's tekken.json where there is none, and what the
files around it say of special tokens.

Not here: the object of the tokenizers library (`fast_tokenizer.py`), chat templates (`chat_template_files.py`), and
vocabularies without a tokenizer.json (their splitting rules are in transformers' code, not in the files).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tokenizers import AddedToken
from tokenizers import Tokenizer as FastTokenizer

from honed.checkpoints.huggingface.chat_template_files import read_chat_template
from honed.checkpoints.huggingface.fast_tokenizer import read_fast
from honed.checkpoints.huggingface.tekken import TEKKEN, TEKKEN_ROLES, tokenizer_document
from honed.checkpoints.json_files import read_object
from honed.errors import FormatError, UnsupportedError, quoted
from honed.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from honed.checkpoints.huggingface.directory import Directory

_ROLES = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token")
_SETTINGS = "tokenizer_config.json"
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


def read_tokenizer(directory: Directory) -> Tokenizer:
    """Errors: UnsupportedError without a tokenizer.json, FormatError for malformed files."""
    path = directory.member("tokenizer.json")
    tekken = directory.member(TEKKEN) if path is None else None
    found = path or tekken
    if found is None:
        raise UnsupportedError(
            f"{directory.path}: has no tokenizer.json; write one with transformers (AutoTokenizer, save_pretrained)"
        )
    fast = read_fast(found, None if tekken is None else tokenizer_document)
    settings = _object(directory, _SETTINGS)
    special = _special_tokens(directory, _object(directory, "special_tokens_map.json"), "special_tokens_map.json")
    special = {role: text for role, text in special.items() if role not in settings}
    special |= _special_tokens(directory, settings, _SETTINGS)
    special = special if tekken is None else {**TEKKEN_ROLES, **special}
    rows = _rows(directory.config)
    _add_named(fast, settings, special, rows)
    ends = _token_ids(directory, "eos_token_id") | {fast.token_to_id(special.get("eos_token", ""))}
    before, after = _around(fast)
    begin = fast.token_to_id(special["bos_token"]) if "bos_token" in special else next(iter(before), None)
    stated = settings.get("add_bos_token")
    adds = begin is not None and (stated if isinstance(stated, bool) else before[:1] == (begin,))
    if settings.get("add_eos_token") is False:
        after = ()
    template, no_template = read_chat_template(directory, settings)
    return Tokenizer(
        fast=fast,
        end_tokens=_generated(fast, ends, rows),
        begin_token=begin,
        adds_begin_token=adds,
        chat_template=template,
        special_tokens=special,
        around=(before[1:] if before[:1] == (begin,) else before, after),
        no_template=no_template,
    )


def _object(directory: Directory, name: str) -> Mapping[str, Any]:
    path = directory.member(name)
    return {} if path is None else read_object(path, duplicates="note")


def _rows(config: Mapping[str, Any]) -> int:
    """Rows of the embedding, by the config; 0 where it does not say."""
    text = config.get("text_config")
    for settings in (config, text if isinstance(text, dict) else {}):
        rows = settings.get("vocab_size")
        if isinstance(rows, int) and not isinstance(rows, bool):
            return rows
    return 0


def _generated(fast: FastTokenizer, ids: set[int | None], rows: int) -> frozenset[int]:
    """Those that can be generated: some configs hold -1, or an id past the embedding, for "none".

    The count of tokens is no bound, since there are vocabularies with gaps.
    """
    found = {token for token in ids if token is not None and 0 <= token < 1 << 31}
    return frozenset(token for token in found if token < rows or fast.id_to_token(token) is not None)


def _special_tokens(directory: Directory, settings: Mapping[str, Any], file: str) -> dict[str, str]:
    """bos_token and the like, given as text or as an object with `content`."""
    found: dict[str, str] = {}
    for role in _ROLES:
        value = settings.get(role)
        content = value.get("content") if isinstance(value, dict) else value
        if isinstance(content, str):
            found[role] = _unicode(directory, content, f"{file}: {role}")
    return found


def _unicode(directory: Directory, text: str, field: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise FormatError(directory.path, field, f"{quoted(text)} has half of a surrogate pair") from None
    return text


def _add_named(fast: FastTokenizer, settings: Mapping[str, Any], special: Mapping[str, str], rows: int) -> None:
    """Makes the tokens that the settings name special, as transformers does: found in a text and hidden in a reply.

    Those of the vocabulary and, up to the rows of the embedding, those that get an id after it.
    """
    added = {token.content: token for token in fast.get_added_tokens_decoder().values()}
    listed = settings.get("added_tokens_decoder")
    tokens: list[AddedToken] = []
    for key, token in sorted(listed.items(), key=lambda item: _number(item[0])) if isinstance(listed, dict) else ():
        content = token.get("content") if isinstance(token, dict) else None
        if not isinstance(content, str) or not content or content in added or not content.isprintable():
            continue
        # Only under the id that is stated.
        if fast.token_to_id(content) == _number(key) or (
            fast.token_to_id(content) is None and _next_id(fast) == _number(key) < rows
        ):
            flags = {name: token[name] for name in _FLAGS if isinstance(token.get(name), bool)}
            fast.add_tokens([AddedToken(content, **flags)])
    for content in dict.fromkeys(special.values()):
        known = added.get(content)
        if content and (known is None or not known.special) and fast.token_to_id(content) is not None:
            flags = {} if known is None else {name: getattr(known, name) for name in _FLAGS[:4]}
            tokens.append(AddedToken(content, **{"normalized": False, **flags, "special": True}))
    fast.add_special_tokens(tokens)


def _next_id(fast: FastTokenizer) -> int:
    """The id that the next token gets; only where ids have no gaps."""
    count: int = fast.get_vocab_size(with_added_tokens=True)
    return count if fast.id_to_token(count - 1) is not None else -1


def _number(text: object) -> int:
    return int(text) if isinstance(text, str) and text.isdecimal() and len(text) < 10 else -2


def _token_ids(directory: Directory, field: str) -> set[int | None]:
    """Ids that config.json and generation_config.json give, as one number or a list."""
    found: set[int | None] = set()
    text = directory.config.get("text_config")
    for name, settings in (
        ("config.json", text if isinstance(text, dict) and field not in directory.config else directory.config),
        ("generation_config.json", _object(directory, "generation_config.json")),
    ):
        value = settings.get(field)
        ids = value if isinstance(value, list) else [] if value is None else [value]
        if not all(isinstance(token, int) and not isinstance(token, bool) for token in ids):
            raise FormatError(directory.path / name, field, f"{quoted(value)} must be an id or a list of ids")
        found.update(ids)
    return found


def _around(fast: FastTokenizer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Ids that the post-processor puts before and after a text."""
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    for step in _processors(None if fast.post_processor is None else json.loads(fast.post_processor.__getstate__())):
        left: list[int] = []
        right: list[int] = []
        if step["type"] == "TemplateProcessing":
            side = left
            for piece in step["single"]:
                if "Sequence" in piece:
                    side = right
                else:
                    side += step["special_tokens"][piece["SpecialToken"]["id"]]["ids"]
        elif step["type"] in ("BertProcessing", "RobertaProcessing"):
            left, right = [step["cls"][1]], [step["sep"][1]]
        before, after = (*left, *before), (*after, *right)
    return before, after


def _processors(state: Any) -> list[dict[str, Any]]:
    if state is None:
        return []
    return (
        [step for part in state["processors"] for step in _processors(part)] if state["type"] == "Sequence" else [state]
    )
