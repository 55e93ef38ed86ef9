"""The models that tests of clients talk to, and what those are asked: the same of every client."""

from __future__ import annotations

import json
from typing import Any

from honed.api.embed import TextEncoder
from honed.checkpoints.huggingface.sentence_files import SentenceSettings
from known_rows import KnownRows, tokenizer
from running_server import RunningServer
from scripted_model import TOOLS, scripted_model
from turn_tokenizers import CHATML

KEY = "the-key-of-tests"
ARGUMENTS: dict[str, Any] = {"fox": "brown", "dogs": 2}
CALL = f"<tool_call>\n{json.dumps({'name': 'look', 'arguments': ARGUMENTS})}\n</tool_call>"
OBJECT = json.dumps(ARGUMENTS)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"fox": {"type": "string"}, "dogs": {"type": "integer"}},
    "required": ["fox", "dogs"],
    "additionalProperties": False,
}
REPLIES = {
    "hello": "Hello! The fox jumps over it.",
    "bytes": "naïver Bär 🦊 frißt",
    "call": CALL,
    "twice": f"{CALL}\n{CALL}",
    "object": OBJECT,
    "The quick": " brown fox jumps over the lazy dog",
}
THOUGHTS = {"think": "<think>\nThe fox is quick.\n</think>\n\nIt jumps."}
THOUGHT, CONCLUSION = "The fox is quick.", "It jumps."
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "look", "description": "Looks.", "parameters": SCHEMA},
}


def said(text: str) -> list[Any]:
    """A chat of one message."""
    return [{"role": "user", "content": text}]


def asked_server() -> RunningServer:
    """A model m that says what is asked of it, t that thinks, and an encoder e."""
    models: dict[str, Any] = {
        "m": lambda: scripted_model(REPLIES, template=TOOLS + CHATML, context=4096, pages=1024)[0],
        "t": lambda: scripted_model(THOUGHTS, template=CHATML + "{# <think></think> #}")[0],
        "e": lambda: TextEncoder("e", KnownRows(), tokenizer(), SentenceSettings()),
    }
    return RunningServer(models, api_keys=(KEY,))
