from __future__ import annotations

from time import perf_counter

import pytest
from tokenizers import AddedToken, decoders, models
from tokenizers import Tokenizer as FastTokenizer

from honed.api.generation import Mailbox, Reply, TextStream
from honed.api.reply_text import ReplyText, TextOptions
from honed.errors import HonedError
from honed.runtime.events import Event, Failed, Finished, Generated, Queued
from honed.runtime.request import FinishReason
from honed.text.decoding import Decoding

# "😀" is the four byte tokens 3 to 6.
VOCABULARY = {token: i for i, token in enumerate(["a", "b", "Ġ", "ð", "Ł", "ĺ", "Ģ"])}


def reply(*stops: str) -> Reply:
    fast = FastTokenizer(models.BPE(VOCABULARY, []))
    fast.decoder = decoders.ByteLevel()
    return Reply(2, ReplyText(Decoding.of(fast), TextOptions(stops), continues=False), 0.0)


def feed(target: Reply, tokens: list[int], reason: FinishReason | None = None) -> None:
    for token in tokens:
        target.handle(Generated(0, token), perf_counter())
    if reason is not None:
        target.handle(Finished(0, reason), perf_counter())


def test_text_arrives_with_whole_characters() -> None:
    target = reply()
    read = []
    for token in [0, 3, 4, 5, 6, 1]:
        target.handle(Generated(0, token), 1.0)
        read.append(target.read())
    assert read == ["a", "", "", "", "😀", "b"]


def test_a_cut_character_is_flushed_at_the_end() -> None:
    target = reply()
    feed(target, [0, 3, 4], "length")
    assert target.read() == "a\ufffd"
    assert target.generation is not None
    assert (target.generation.text, target.generation.finish_reason) == ("a\ufffd", "length")
    assert target.generation.tokens == (0, 3, 4)
    assert target.generation.prompt_tokens == 2


def test_a_stop_string_ends_the_text_before_it() -> None:
    target = reply("b b")
    feed(target, [0, 1, 2, 1, 0, 0])
    assert target.stopped
    assert target.generation is not None
    assert (target.generation.text, target.generation.finish_reason) == ("a", "stop")
    assert target.generation.tokens == (0, 1, 2, 1)


def test_a_flushed_character_may_complete_a_stop_string() -> None:
    target = reply("a\ufffd")
    feed(target, [1, 0, 3], "length")
    assert target.generation is not None
    assert (target.generation.text, target.generation.finish_reason) == ("b", "stop")


def test_the_beginning_of_a_stop_string_is_flushed_at_the_end() -> None:
    target = reply("abab")
    feed(target, [1, 0, 1])
    assert target.read() == "b"
    feed(target, [], "length")
    assert target.read() == "ab"


def test_events_after_the_end_do_not_count() -> None:
    target = reply()
    feed(target, [0], "stop")
    first = target.generation
    feed(target, [1], "abort")
    assert target.generation == first


def test_rates() -> None:
    target = reply()
    feed(target, [0, 0, 0], "stop")
    assert target.generation is not None
    rate = target.generation.decode_tokens_per_second
    assert rate is not None
    assert rate > 0
    assert target.generation.first_token_seconds is not None
    assert target.generation.first_token_seconds <= target.generation.seconds


def test_no_rate_without_tokens() -> None:
    target = reply()
    feed(target, [], "stop")
    assert target.generation is not None
    assert target.generation.decode_tokens_per_second is None
    assert target.generation.first_token_seconds is None


class Streamed:
    """A stream whose events come when the test says so, and what it asked for."""

    def __init__(self, *stops: str, whole: bool = False) -> None:
        self.aborts = 0
        self.mailbox = Mailbox()
        self.stream = TextStream(reply(*stops), self.mailbox, lambda: None, self._abort, whole)

    def _abort(self) -> None:
        self.aborts += 1

    def put(self, *events: Event) -> None:
        self.mailbox.put(list(events))


def test_a_stream_raises_the_fault_after_the_text_before_it() -> None:
    made = Streamed()
    made.put(Queued(0), Generated(0, 0))
    made.put(Failed(0, HonedError("logits: bad")))
    assert next(made.stream) == "a"
    for _ in range(2):
        with pytest.raises(HonedError, match="logits: bad"):
            next(made.stream)
    assert made.stream.generation is None


def test_poll_takes_what_has_come_and_waits_a_moment_where_nothing_has() -> None:
    made = Streamed()
    assert made.stream.poll() == ""
    made.put(Generated(0, 3))  # the first byte of a character
    assert made.stream.poll() == ""
    made.put(Generated(0, 0))  # which was none
    assert made.stream.poll() == "\ufffda"
    made.put(Generated(0, 1))
    made.put(Finished(0, "stop"))
    assert [made.stream.poll() for _ in range(3)] == ["b", None, None]
    assert list(made.stream) == []
    assert made.aborts == 0


def test_a_reader_of_the_whole_is_woken_at_the_end_alone() -> None:
    made = Streamed(whole=True)
    made.put(Generated(0, 0))
    assert next(made.stream) == "a"
    made.mailbox.whole = True
    made.put(Generated(0, 1))
    assert made.mailbox.take(0) == []
    made.put(Generated(0, 2), Finished(0, "length"))
    assert made.stream.finish().tokens == (0, 1, 2)


def test_a_stop_string_ends_the_request_too() -> None:
    made = Streamed("b")
    made.put(Generated(0, 0))
    made.put(Generated(0, 1))
    assert made.stream.finish().text == "a"
    assert made.aborts == 1
    made.put(Generated(0, 2))
    made.put(Finished(0, "abort"))
    assert made.stream.generation is not None
    assert made.stream.generation.tokens == (0, 1)


def test_closing_ends_it_with_what_has_come() -> None:
    made = Streamed()
    made.put(Generated(0, 0))
    made.put(Generated(0, 1))
    made.stream.close()
    made.stream.close()
    made.put(Generated(0, 2))
    assert made.stream.generation is not None
    assert (made.stream.generation.text, made.stream.generation.finish_reason) == ("ab", "abort")
    assert made.aborts == 1
    assert list(made.stream) == ["ab"]


def hiding(*stops: str) -> Reply:
    fast = FastTokenizer(models.BPE(VOCABULARY, []))
    fast.decoder = decoders.ByteLevel()
    fast.add_special_tokens([AddedToken("<end>", special=True)])
    return Reply(2, ReplyText(Decoding.of(fast), TextOptions(stops), continues=False), 0.0)


@pytest.mark.parametrize(
    ("stop", "text"), [("<end>", "ab"), ("b<end>", "a"), ("<end>a", "ab"), ("nd>", "ab"), ("<end>b", "aba b")]
)
def test_a_stop_string_in_which_a_special_token_is(stop: str, text: str) -> None:
    target = hiding(stop)
    feed(target, [0, 1, 7, 0, 2, 1], "length")
    assert target.generation is not None
    assert target.generation.text == text
    assert target.generation.finish_reason == ("stop" if text != "aba b" else "length")
