from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honed.bench.load.connection import Address, Answer, ServerError
from honed.errors import ParameterError


class Sink:
    """Stands for the writing half."""

    def close(self) -> None:
        pass


def read(data: bytes, what: Callable[[Answer], object]) -> object:
    async def run() -> object:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        answer = Answer(reader, Sink())  # type: ignore[arg-type]
        await answer.begin()
        return await what(answer)  # type: ignore[misc]

    return asyncio.run(run())


async def body(answer: Answer) -> bytes:
    return await answer.body()


async def events(answer: Answer) -> list[str]:
    return [event async for event in answer.events()]


@given(
    st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs", "Zs", "Cc"])), max_size=5),
    st.data(),
)
def test_events_are_the_same_however_the_body_is_cut(texts: list[str], data: st.DataObject) -> None:
    whole = b": hello\n\n" + b"".join(b"event: x\ndata: " + text.encode() + b"\n\n" for text in texts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    parts = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True) if b > a]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert read(head + chunks + b"0\r\n\r\n", events) == texts


def test_bodies_of_a_given_length_and_until_the_end() -> None:
    assert read(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef", body) == b"abc"
    assert read(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nabc", body) == b""
    assert read(b"HTTP/1.0 200 OK\r\n\r\nabc", body) == b"abc"


def test_what_is_no_http_is_said() -> None:
    with pytest.raises(ServerError, match="not HTTP"):
        read(b"SSH-2.0\r\n", body)


@pytest.mark.parametrize("url", ["", "127.0.0.1:80", "ftp://a", "http://", "http://a:x"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ParameterError, match="server"):
        Address.of(url)


def test_addresses() -> None:
    assert Address.of("http://127.0.0.1:8000") == Address("127.0.0.1", 8000, False, "")
    assert Address.of("https://a.b/x/v1/") == Address("a.b", 443, True, "/x")
