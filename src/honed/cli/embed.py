"""`honed embed`: vectors of texts, from the command line, a file or standard input, a line each."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from honed.cli.declared import takes_run_options
from honed.cli.output import for_terminal, print_json, print_table
from honed.errors import HonedError, SourceError, plain, quoted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from honed.api.embed import TextEncoder
    from honed.backends.options import RunOptions

MOST_SHOWN = 100
"""Texts of a table on a terminal; a pipe or a file gets all."""
_NUMBERS_SHOWN = 4


@takes_run_options("dtype", "threads", "isa", "backend")
def embed(
    model: Annotated[str, typer.Argument(help="Alias, directory or Hugging Face id of an encoder.")],
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            help="Texts, a vector each; - reads them from standard input, a line each. [default: standard input, where "
            "that is no terminal]",
            show_default=False,
        ),
    ] = None,
    *,
    file: Annotated[Path | None, typer.Option(help="A UTF-8 file of texts, a line each.")] = None,
    pooling: Annotated[
        str | None, typer.Option(help="How rows become one: mean, cls or last. [default: the checkpoint's, else mean]")
    ] = None,
    normalize: Annotated[
        bool | None,
        typer.Option(
            "--normalize/--no-normalize", help="Vectors of length 1. [default: the checkpoint's]", show_default=False
        ),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="Name of one of the checkpoint's prompts, which goes before each text.")
    ] = None,
    run: RunOptions,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a Hugging Face id.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Give texts vectors, which are close to each other where the texts mean the same.

    On a terminal a table shows how close each text is to the first one; a pipe or a file gets the numbers, a line a
    text; --json gives both.

    \b
    honed embed minilm "A cat sits on the mat." "A kitten is lying on a rug." "Shares fell on Monday."
    honed embed minilm --file sentences.txt > vectors.txt
    honed embed minilm "one text" --json
    """
    from honed.cli.loading import loaded_encoder, prepare_stdout

    prepare_stdout()
    lines = _texts(model, texts or [], file)
    with loaded_encoder(model, run, revision=revision) as encoder:
        options: dict[str, Any] = {"pooling": pooling, "normalize": normalize, "prompt": prompt}
        if json:
            given = list(lines)
            print_json(_report(encoder, given, encoder.embed(given, **options), options))
        elif sys.stdout.isatty():
            given = list(islice(lines, MOST_SHOWN))
            _show(encoder, given, encoder.embed(given, **options), more=next(lines, None) is not None)
        else:
            for row in encoder.embed_iter(lines, **options):
                sys.stdout.write(" ".join(map(_number, row)) + "\n")


def _texts(model: str, texts: Sequence[str], file: Path | None) -> Iterator[str]:
    """Those that are given, in one of the ways. HonedError where there are none, or two ways."""
    if file is not None:
        if texts:
            raise HonedError(f"texts come from --file or from the command line, and {quoted(texts[0])} is there too")
        return _lines_of(file)
    if texts and list(texts) != ["-"]:
        return iter(texts)
    if sys.stdin is None or (sys.stdin.isatty() and not texts):
        raise HonedError(f'there is no text: honed embed {model} "TEXT" gives one a vector, --file FILE many')
    return _lines_of_stdin()


def _lines_of(file: Path) -> Iterator[str]:
    from honed.regular_files import open_regular

    with open_regular(file) as opened:
        for number, line in enumerate(opened, 1):
            yield _line(line, f"{file}: line {number}")


def _lines_of_stdin() -> Iterator[str]:
    source = getattr(sys.stdin, "buffer", None)
    if source is None:  # of a test or a program that put a text stream there
        yield from (line.removesuffix("\n") for line in sys.stdin)
        return
    for number, line in enumerate(source, 1):
        yield _line(line, f"standard input: line {number}")


def _line(line: bytes, where: str) -> str:
    try:
        return str(line, "utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise SourceError(f"{where}: must be UTF-8 text, and byte {line[error.start]:#04x} is not") from None


def _report(
    encoder: TextEncoder, texts: Sequence[str], rows: NDArray[np.float32], options: dict[str, Any]
) -> dict[str, Any]:
    normalize = options["normalize"]
    return {
        "model": encoder.name,
        "width": encoder.width,
        "pooling": options["pooling"] or encoder.pooling,
        "normalized": encoder.settings.normalize if normalize is None else normalize,
        "prompt": encoder.settings.default_prompt if options["prompt"] is None else options["prompt"] or None,
        "embeddings": [
            {"text": text, "embedding": [float(_number(value)) for value in row]}
            for text, row in zip(texts, rows, strict=True)
        ],
        "timings": {"load_s": encoder.load_seconds},
    }


def _show(encoder: TextEncoder, texts: Sequence[str], rows: NDArray[np.float32], *, more: bool) -> None:
    from honed.tasks.embeddings import normalized

    if not texts:
        return
    unit = normalized(rows)
    near = unit @ unit[0]
    print_table(
        f"{encoder.name}: {encoder.width} numbers a text" + (f", the first {MOST_SHOWN} texts" if more else ""),
        ("text", "cosine to the first", "vector"),
        [
            [
                for_terminal(plain(text if len(text) <= 60 else f"{text[:57]}...")),
                f"{cosine:.3f}",
                " ".join(f"{value:.4f}" for value in row[:_NUMBERS_SHOWN]) + " ...",
            ]
            for text, cosine, row in zip(texts, near, rows, strict=True)
        ],
    )


def _number(value: np.float32) -> str:
    """The shortest decimal that is the same float32."""
    return str(value)
