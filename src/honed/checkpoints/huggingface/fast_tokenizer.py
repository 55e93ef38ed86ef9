"""A tokenizer.json as an object of the tokenizers library, which sees no file that has not passed behind a fence.

The library is native code that trusts its input. So a file that is not known is read in a process of its own first
(`tokenizer_worker.py`), which may die or be killed; what passed is remembered by its bytes (`kept_tokenizer.py`), so
that the next start reads it at once. Not here: special tokens and chat templates (`tokenizer.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tokenizers import Tokenizer as FastTokenizer

from honed.checkpoints.huggingface.kept_tokenizer import KeptTokenizer, prompts_only, same_tokenizer
from honed.checkpoints.json_files import TOKENIZER_BYTES, read_bytes
from honed.errors import FormatError, MachineError, UnsupportedError
from honed.text.tokenizer import no_panic

_JOB = Path(__file__).with_name("tokenizer_worker.py")
_MEGABYTE = 1 << 20


def read_fast(path: Path, translate: Callable[[bytes, Path], bytes] | None = None) -> FastTokenizer:
    """Without truncation, padding and dropout. Errors: FormatError, and MachineError if no process can be started.

    `translate` makes a tokenizer.json of a file of another kind; what is kept is named by the file's own bytes.
    """
    source = read_bytes(path, TOKENIZER_BYTES)
    kept = KeptTokenizer(source)
    found = kept.read()
    if found is not None:
        return found
    document = source if translate is None else translate(source, path)
    if not kept.is_known():
        form, digest = vet(document, path, keep=kept.large)
        found = same_tokenizer(form, digest)
        kept.keep(b"" if found is None else form)
    return build_fast(str(document, "utf-8"), path) if found is None else found


def vet(source: bytes, path: Path, *, keep: bool) -> tuple[bytes, str]:
    """Reads a tokenizer.json behind the fence; its kept form, if there is one and `keep` asks for it, and digest.

    Bounds, for a file of m megabytes: 0.8 + 0.8 m seconds of processor time, 64 + 40 m megabytes beside Python's, and
    64 + 130 m for Unigram, whose trie the library holds in maps.
    """
    from honed.text.fence import Fence, FenceError

    size = len(source) / _MEGABYTE
    fence = Fence(
        _JOB,
        seconds=30 + 10 * size,
        cpu_seconds=0.8 + 0.8 * size,
        memory_bytes=int((64 + (130 if b'"Unigram"' in source else 40) * size) * _MEGABYTE),
        reply_bytes=2 * len(source) + _MEGABYTE,
    )
    try:
        reply, form = fence.ask({"keep": keep}, source)
    except FenceError as error:
        if error.what == "start":
            raise MachineError(f"{path}: the process that reads tokenizers does not start: {error}") from None
        took = "time" if error.what == "time" else "memory"
        broke = "" if error.what == "time" else ", or breaks the tokenizers library"
        raise FormatError(
            path, "tokenizer", f"takes more {took} than a file of {len(source)} bytes may{broke}"
        ) from None
    finally:
        fence.close()
    if "error" in reply:
        raise FormatError(path, *reply["error"].split(": ", 1))
    return form, reply["digest"]


def build_fast(text: str, path: Path) -> FastTokenizer:
    """The object, from text that has passed. FormatError if it breaks all the same."""
    try:
        with no_panic("tokenizer"):
            return prompts_only(FastTokenizer.from_str(text))
    except UnsupportedError as error:
        raise FormatError(path, "tokenizer", str(error)) from None
