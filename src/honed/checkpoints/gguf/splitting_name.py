"""The name in tokenizer.ggml.pre for how a byte-level tokenizer.json splits text: the reverse of `pretokenizers.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from honed.checkpoints.gguf.pretokenizers import GPT2, SPLITTINGS


def patterns_of(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The patterns by which a tokenizer.json splits, one after the other."""
    parts = document.get("pre_tokenizer") or {}
    patterns: list[str] = []
    for part in parts.get("pretokenizers", [parts]):
        match part.get("type"):
            case "Split":
                patterns.append(part["pattern"].get("Regex", ""))
            case "Digits":
                patterns.append(r"\p{N}" if part.get("individual_digits") else r"\p{N}+")
            case "ByteLevel" if part.get("use_regex", True):
                patterns += GPT2.patterns
    return tuple(patterns)


def names_alike(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of llama.cpp for these patterns, whatever else they mean."""
    patterns = patterns_of(document)
    return tuple(name for name, one in SPLITTINGS.items() if one.patterns == patterns)


def splitting_name(document: Mapping[str, Any]) -> str | None:
    """One that takes whole words and normalizes as the document does, where there is one; None without any."""
    normalizer = document.get("normalizer") or {}
    own = (bool(document.get("model", {}).get("ignore_merges")), normalizer.get("type") == "NFC")
    names = names_alike(document)
    meant = (name for name in names if (SPLITTINGS[name].whole_words, SPLITTINGS[name].nfc) == own)
    return next(meant, names[0] if names else None)
