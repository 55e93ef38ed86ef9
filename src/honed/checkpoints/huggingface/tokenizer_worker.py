"""Reads a tokenizer.json behind a fence and tries it out. A job of `text/fence_worker.py`; not for import.

Answers the bytes of a file with {"error": field and problem}, or, for a large one, with the form in which it is kept
(`kept_tokenizer.py`) and the digest of what that must give. What is not answered (a library that aborts, memory, time)
is a refusal too.

A tokenizer that has passed cannot break later by its structure, which `tokenizer_document.py` has bounded. What a
pattern does to a text shows only when it is tried: on runs of each character that it names, and of kinds of characters.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tokenizers import Tokenizer as FastTokenizer

from honed.checkpoints.huggingface.kept_tokenizer import digest_of, kept_form, prompts_only
from honed.checkpoints.huggingface.tokenizer_document import DocumentError, check_document
from honed.errors import quoted

_RUN = 4096
_QUICK = 0.02
"""Seconds of processor time for a run; tokenizers in use need a tenth of it."""
_LONGER = 4
_SLOWEST = 0.2
"""Seconds for a run that is so many times longer: work that grows with the square of a text does not end in time."""
_TRIALS = (
    "",
    # No vocabulary holds it: a missing unknown token is found only so.
    "\U0010fffd",
    "The quick brown fox jumps over the lazy dog's 12,345 back.\r\n\tdef f(x): return x**2  # na\u00efve \u4f60\u597d",
    "\ufdfa\u0301\u1100\u1161\u11a8\0\x7f\u200b\u2028\ud7ff\ufeff",
)
_KINDS = ("a", "A", " ", "\n", "1", ".", "_", "\u00e9", "\u4e00", "\u0301", "a ", "a1", " \n", "'s", "Aa", "a.")


def prepare() -> Callable[[dict[str, Any], bytes], tuple[dict[str, Any], bytes]]:
    """What answers the requests: {"keep": whether to answer with the kept form}."""
    return _answer


def _answer(request: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    try:
        text = str(data, "utf-8")
        document = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
        check_document(document)
        fast = prompts_only(FastTokenizer.from_str(text))
        del text
        for trial in _trials(document):
            if _seconds(fast, trial) > _QUICK and _seconds(fast, trial * _LONGER) > _SLOWEST:
                raise DocumentError("tokenizer", f"takes too long for a long text of {quoted(trial[:2])}")
        form = kept_form(document) if request["keep"] else b""
        return {"digest": digest_of(fast) if form else ""}, form
    except DocumentError as error:
        return {"error": str(error)}, b""
    except MemoryError:
        return {"error": "tokenizer: needs more memory than a file of its size may"}, b""
    except RecursionError:
        return {"error": "tokenizer: is nested too deeply"}, b""
    except BaseException as error:  # the library raises plain Exception, and panics derive from BaseException
        return {"error": f"tokenizer: {str(error)[:300]}"}, b""


def _seconds(fast: FastTokenizer, text: str) -> float:
    started = time.process_time()
    fast.encode(text, add_special_tokens=True)
    return time.process_time() - started


def _trials(document: Mapping[str, Any]) -> Iterator[str]:
    yield from _TRIALS
    patterns = "".join(_patterns([document.get("normalizer"), document.get("pre_tokenizer")]))
    named = sorted(set(re.sub(r"\\[A-Za-z]|[\\\[\](){}?*+|^$]", "", patterns)))[:64]
    for kind in (*_KINDS, *named):
        yield kind * (_RUN // len(kind))
        yield kind * (_RUN // len(kind)) + "\0"


def _patterns(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(pattern := value.get("Regex"), str):
            yield pattern
        value = list(value.values())
    for inner in value if isinstance(value, list) else ():
        yield from _patterns(inner)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise DocumentError("tokenizer", "an object has a name twice")
    return found


def _no_constant(name: str) -> None:
    raise DocumentError("tokenizer", f"{name} is not JSON")
