from __future__ import annotations

import hashlib
import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from honed.runtime.prefix import extend_digests

TOKENS = st.lists(st.integers(0, 2**31 - 1), min_size=96, max_size=96)


def digests(tokens: list[int], cache_key: bytes = b"", adapter: bytes = b"") -> list[bytes]:
    found: list[bytes] = []
    extend_digests(found, tokens, len(tokens) // 32, cache_key, adapter)
    return found


@settings(deadline=None, max_examples=50, derandomize=True)
@given(TOKENS, st.integers(0, 95), st.integers(1, 1000))
def test_a_digest_depends_on_all_tokens_before_its_end(tokens: list[int], position: int, change: int) -> None:
    other = list(tokens)
    other[position] = (other[position] + change) % 2**31
    page = position // 32
    first, second = digests(tokens), digests(other)
    assert first[:page] == second[:page]
    assert all(a != b for a, b in zip(first[page:], second[page:], strict=True))


@settings(deadline=None, max_examples=20, derandomize=True)
@given(TOKENS, st.lists(st.integers(0, 3), max_size=4))
def test_digests_are_the_same_however_they_are_extended(tokens: list[int], steps: list[int]) -> None:
    found: list[bytes] = []
    for pages in steps:
        before = list(found)
        extend_digests(found, tokens, pages, b"key")
        assert len(found) == max(len(before), pages)
    extend_digests(found, tokens, 3, b"key")
    assert found == digests(tokens, b"key")


def test_digests_are_sha256_of_the_page_before_and_the_tokens() -> None:
    tokens = list(range(64))
    first, second = digests(tokens)
    assert second == hashlib.sha256(first + struct.pack("<32i", *tokens[32:])).digest()


def test_keys_and_adapters_have_no_page_in_common() -> None:
    tokens = list(range(96))
    places = [(b"", b""), (b"a", b""), (b"b", b""), (b"", b"a"), (b"ab", b"c"), (b"a", b"bc"), (b"\0", b"")]
    found = [digest for place in places for digest in digests(tokens, *place)]
    assert len(set(found)) == len(found)
