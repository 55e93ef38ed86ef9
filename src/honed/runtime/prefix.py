"""The prefix cache: pages that one sequence computed, used by others that begin alike. Not here: which pages are kept
and given up (`pages.py`), and who is admitted when (`scheduler.py`).

A page of the cache is a function of all tokens up to its end. Its digest is SHA-256 over the digest of the page before
it and its own tokens, so that equal digests mean equal prefixes, for whoever can make up prompts as well. The first one
follows a digest of the request's cache key and of the adapter, which are thereby part of all that come after it: two
cache keys have no page in common. Where layers with a window have pages of their own (`window_pages.py`), a prefix is
used as far as those are still there that the row behind it sees.

A sequence whose next page is just being computed by another one waits for it, as long as that one gets on. So of a
burst of requests with one beginning, or of several replies to one prompt, the first one computes it for all.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from collections.abc import Sequence as Many

from honed.backends.base import PAGE_TOKENS
from honed.runtime.pages import PageAllocator
from honed.runtime.sequence import Sequence
from honed.runtime.window_pages import Windows

_PATIENCE = 2
"""How often a sequence is looked at that does not get on, before the one that waits for it waits no longer."""
_TOKENS = struct.Struct(f"<{PAGE_TOKENS}i")


def extend_digests(digests: list[bytes], tokens: Many[int], pages: int, cache_key: bytes, adapter: bytes = b"") -> None:
    """Appends to `digests`, which are those of the first pages of `tokens`, until there are `pages`.

    adapter: names the weights that were added to the model's own; there are none yet.
    """
    if pages <= len(digests):
        return
    parent = digests[-1] if digests else _root(cache_key, adapter)
    for page in range(len(digests), pages):
        own = _TOKENS.pack(*tokens[page * PAGE_TOKENS : (page + 1) * PAGE_TOKENS])
        parent = hashlib.sha256(parent + own).digest()
        digests.append(parent)


def _root(cache_key: bytes, adapter: bytes) -> bytes:
    # The length keeps apart what a key ends with and an adapter begins with.
    return hashlib.sha256(b"honed KV page" + struct.pack("<Q", len(cache_key)) + cache_key + adapter).digest()


class PrefixCache:
    """Knows the digests of sequences, and who computes what."""

    def __init__(self, pages: PageAllocator, windows: Windows) -> None:
        self._pages = pages
        self._windows = windows
        self._in_work: dict[bytes, Sequence] = {}
        self.queries = 0
        """Tokens of sequences that were admitted for the first time and might have found pages."""
        self.hits = 0
        """Those of them that were found."""

    def lookup(self, sequence: Sequence) -> list[int] | None:
        """The pages that a waiting sequence begins with, as many as there are; None: it should wait for more.

        Of all its tokens one must be computed, so that there are logits, and of a prompt that is scored all rows that
        were not yet.
        """
        usable = (len(sequence.tokens) - 1) // PAGE_TOKENS
        if sequence.to_score > 0:
            usable = min(usable, sequence.scored // PAGE_TOKENS)
        self._extend(sequence, usable)
        if sequence.awaits is not None and self._waits_on(sequence, sequence.awaits, usable):
            return None
        found: list[int] = []
        for digest in sequence.digests[:usable]:
            page = self._pages.find(digest)
            if page is None:
                break
            found.append(page)
        if self._windows:
            del found[self._windows.reusable(sequence.digests, len(found)) :]
        if len(found) < usable and self._must_wait(sequence, sequence.digests[len(found)]):
            return None
        return found

    def begin(self, sequence: Sequence) -> None:
        """The sequence runs now, and computes what it did not find."""
        sequence.awaits = None
        complete = len(sequence.tokens) // PAGE_TOKENS
        self._extend(sequence, complete)
        for digest in sequence.digests[sequence.published : complete]:
            self._in_work.setdefault(digest, sequence)
        if not sequence.started and sequence.request.prompt_logprobs is None:
            self.queries += len(sequence.tokens)
            self.hits += sequence.computed

    def publish(self, sequence: Sequence) -> None:
        """Lets others find the pages that are complete. Where one is known already the sequence goes on with that."""
        complete = sequence.computed // PAGE_TOKENS
        if complete <= sequence.published:
            return
        self._extend(sequence, complete)
        for index in range(sequence.published, complete):
            sequence.pages[index] = self._pages.publish(sequence.pages[index], sequence.digests[index])
        self._windows.publish(sequence, complete)
        self._forget(sequence, sequence.digests[sequence.published : complete])
        sequence.published = complete

    def end(self, sequence: Sequence) -> None:
        """The sequence runs no longer: what is complete is published, and nobody waits for the rest."""
        self.publish(sequence)
        self._forget(sequence, sequence.digests[sequence.published :])

    def check_integrity(self, running: Many[Sequence]) -> None:
        """AssertionError unless what is shared is complete, is what its digest says, and can be found."""
        for sequence in running:
            digests: list[bytes] = []
            extend_digests(digests, sequence.tokens, sequence.published, sequence.request.cache_key)
            assert sequence.digests[: sequence.published] == digests, "digests and tokens differ"
            for index in range(sequence.released, sequence.published):
                assert self._pages.find(digests[index]) == sequence.pages[index], "a shared page cannot be found"
        assert set(self._in_work.values()) <= set(running), "somebody waits for a page that nobody computes"

    def _must_wait(self, sequence: Sequence, digest: bytes) -> bool:
        """Whether somebody is computing this page, which it needs next, and will get on with it."""
        owner = self._in_work.get(digest)
        if owner is None or owner is sequence.awaits:
            # It has waited for that one, which did not get on.
            return False
        sequence.awaits, sequence.awaited, sequence.patience = owner, owner.computed, _PATIENCE
        return True

    @staticmethod
    def _waits_on(sequence: Sequence, owner: Sequence, usable: int) -> bool:
        """Whether it goes on waiting: not once the other one has come to where they differ, has ended, or stands."""
        next_page = slice(owner.published, owner.published + 1)
        differs = owner.published >= usable or owner.digests[next_page] != sequence.digests[next_page]
        if owner.place != "running" or differs:
            sequence.awaits = None
            return False
        if owner.computed > sequence.awaited:
            sequence.awaited, sequence.patience = owner.computed, _PATIENCE
            return True
        sequence.patience -= 1
        return sequence.patience > 0

    def _forget(self, owner: Sequence, digests: Iterable[bytes]) -> None:
        for digest in digests:
            if self._in_work.get(digest) is owner:
                del self._in_work[digest]

    @staticmethod
    def _extend(sequence: Sequence, pages: int) -> None:
        extend_digests(sequence.digests, sequence.tokens, pages, sequence.request.cache_key)
