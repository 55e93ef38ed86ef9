"""Streams and whole replies, whatever the dialect: they end, they say why, and they close what they are made of."""

from __future__ import annotations

import asyncio

import pytest

from honed.errors import ParameterError
from honed.server.errors import Fault, RequestError
from honed.server.exchange import Delta, TextDelta
from honed.server.writer import Written, collected
from scripted_replies import Script, ScriptedReply, answer


class Words:
    """A dialect of words. Implements `Writer` and `Collector`."""

    def __init__(self) -> None:
        self.taken: list[Delta] = []

    def write(self, delta: Delta) -> bytes:
        return f"{type(delta).__name__} ".encode() if not isinstance(delta, TextDelta) or delta.text else b""

    def take(self, delta: Delta) -> None:
        self.taken.append(delta)

    def fail(self, fault: Fault) -> bytes:
        return f"FAILED {fault.status} {fault.message}".encode()


def streamed(script: Script, batch: int = 1) -> tuple[list[bytes], ScriptedReply]:
    reply = ScriptedReply(script, batch)

    async def read() -> list[bytes]:
        return [data async for data in Written(reply, Words())]

    return asyncio.run(read()), reply


def whole(script: Script) -> tuple[list[Delta], ScriptedReply]:
    reply = ScriptedReply(script)
    return asyncio.run(collected(reply, Words())).taken, reply


def test_what_is_ready_goes_out_at_once() -> None:
    script = answer(TextDelta(0, "a"), TextDelta(0, ""), TextDelta(0, "b"))
    one_by_one, reply = streamed(script)
    assert one_by_one == [b"Admitted ", b"TextDelta ", b"TextDelta ", b"Ended "]
    assert reply.closed
    assert streamed(script, 9)[0] == [b"Admitted TextDelta TextDelta Ended "]
    taken, reply = whole(script)
    assert taken == script
    assert reply.closed


def test_an_error_on_the_way_is_the_last_piece() -> None:
    script = [*answer(TextDelta(0, "a"))[:2], ParameterError("n", 3, "must be less")]
    pieces, reply = streamed(script)
    assert pieces[-1] == b"FAILED 400 n = 3: must be less"
    assert reply.closed
    failed = ScriptedReply(script)
    with pytest.raises(ParameterError):
        asyncio.run(collected(failed, Words()))
    assert failed.closed


def test_what_was_written_before_an_error_is_kept() -> None:
    pieces, _ = streamed(answer(TextDelta(0, "a"), reason="abort"), 9)
    assert pieces == [b"Admitted TextDelta FAILED 499 the request was cancelled"]


def test_a_reply_without_an_end() -> None:
    script = answer(TextDelta(0, "a"))[:-1]
    assert streamed(script)[0][-1].startswith(b"FAILED 500 ")
    with pytest.raises(RequestError, match="without its end"):
        whole(script)


def test_a_cancelled_reply_is_an_error() -> None:
    with pytest.raises(RequestError, match="cancelled"):
        whole(answer(reason="abort"))


def test_closing_a_stream_that_was_never_begun() -> None:
    reply = ScriptedReply(answer())
    asyncio.run(Written(reply, Words()).aclose())
    assert reply.closed
