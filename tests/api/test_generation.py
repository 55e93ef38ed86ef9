from __future__ import annotations

import pytest
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import decoders, models

from honed.api.generation import Reply, TextStream
from honed.errors import HonedError
from honed.runtime.events import Failed, Finished, Generated
from honed.runtime.request import FinishReason
from honed.text.decoding import Decoding
from honed.text.detokenizer import Detokenizer
from honed.text.stop import StopMatcher

# "😀" is the four byte tokens 3 to 6.
VOCABULARY = {token: i for i, token in enumerate(["a", "b", "Ġ", "ð", "Ł", "ĺ", "Ģ"])}


def reply(*stops: str) -> Reply:
    fast = FastTokenizer(models.BPE(VOCABULARY, []))
    fast.decoder = decoders.ByteLevel()
    return Reply(2, Detokenizer(Decoding.of(fast)), StopMatcher(stops), 0.0)


def feed(target: Reply, tokens: list[int], reason: FinishReason | None = None) -> None:
    for token in tokens:
        target.handle(Generated(0, token))
    if reason is not None:
        target.handle(Finished(0, reason))


def test_text_arrives_with_whole_characters() -> None:
    target = reply()
    read = []
    for token in [0, 3, 4, 5, 6, 1]:
        target.handle(Generated(0, token))
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


def test_a_stream_raises_the_fault_after_the_text_before_it() -> None:
    target = reply()
    feed(target, [0])
    target.handle(Failed(0, HonedError("logits: bad")))
    stream = TextStream(target, lambda: None, lambda: None)
    assert next(stream) == "a"
    with pytest.raises(HonedError, match="logits: bad"):
        next(stream)
    assert stream.generation is None
