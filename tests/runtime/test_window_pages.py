"""Pages of layers that see a window, beside layers that see all: how many are held, and that no bit changes. Everything
at once, in any order, is in `test_scheduler_states.py`."""

from __future__ import annotations

from functools import cache
from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray

from hash_backend import ChoosingHashBackend, HashBackend
from honed.backends.base import PAGE_TOKENS, Backend, Batch, PageGroup, span_pages
from honed.backends.native import NativeBackend
from honed.backends.native_config import NativeConfig
from honed.runtime.engine import Engine
from honed.runtime.events import Generated
from honed.runtime.request import GREEDY, Request
from honed.runtime.sampling import Sampler
from honed.runtime.sequence import Sequence
from honed.runtime.window_pages import Windows
from tiny_models import MemoryCheckpoint, golden

WINDOW, LONG = 32, 2048


@cache
def gemma() -> MemoryCheckpoint:
    """A tiny Gemma 3: every second layer sees 32 keys, and it was made for 2,048 positions."""
    source = golden("gemma3_capped").checkpoint
    config = {**source.config, "sliding_window": WINDOW, "max_position_embeddings": LONG}
    return MemoryCheckpoint(config, {name: source.weight(name) for name in source.names})


class Recording:
    """A backend that keeps the logits of every row that was asked for, by position."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.name, self.vocabulary, self.context = backend.name, backend.vocabulary, backend.context
        self.pages, self.page_groups, self.step_tokens = backend.pages, backend.page_groups, backend.step_tokens
        self.logits: dict[int, NDArray[np.float32]] = {}

    def forward(self, batch: Batch) -> NDArray[np.float32]:
        rows = self.backend.forward(batch)
        self.logits |= dict(zip(batch.positions[batch.selected].tolist(), rows, strict=True))
        return rows


def everything_kept(backend: Backend, tokens: list[int]) -> NDArray[np.float32]:
    """Logits of all rows, by pages that no other position ever had."""
    found = []
    for start in range(0, len(tokens), backend.step_tokens):
        part = np.array(tokens[start : start + backend.step_tokens], dtype=np.int32)
        rows = np.arange(len(part), dtype=np.int32)
        pages = np.arange(-(-len(tokens) // PAGE_TOKENS), dtype=np.int32)[None, :]
        found.append(backend.forward(Batch(part, start + rows, 0 * rows, pages, rows)))
    return np.concatenate(found)


def test_pages_stay_flat_over_2000_positions_and_no_bit_changes() -> None:
    narrow = NativeBackend.load(gemma(), NativeConfig(threads=1, kv_tokens=LONG, sequences=1, step_tokens=64))
    full, window = narrow.page_groups
    assert (full, window) == (PageGroup(64), PageGroup(16, WINDOW))
    recording = Recording(narrow)
    engine = Engine(recording, speculation="off", prefix_cache=False)
    prompt = tuple(position % 90 + 2 for position in range(1500))
    engine.add(Request(prompt, 500, GREEDY))
    tokens, held_full, held_window = list(prompt), [], []
    while not engine.idle:
        tokens += [event.token for event in engine.step() if isinstance(event, Generated)]
        engine.check_integrity()
        held_full.append(full.pages - engine.free_pages)
        held_window.append(window.pages - engine.free_window_pages[0])
    assert len(tokens) == 2000
    assert max(held_full) == 63
    prefilling = span_pages(WINDOW) + 64 // PAGE_TOKENS
    assert max(held_window) <= prefilling
    assert max(held_window[30:]) <= span_pages(WINDOW) + 1
    roomy = NativeBackend.load(gemma(), NativeConfig(threads=1, kv_tokens=LONG, step_tokens=256))
    assert roomy.page_groups[1].pages == 64
    logits = everything_kept(roomy, tokens)
    assert sorted(recording.logits) == list(range(1499, 1999))
    for position, row in recording.logits.items():
        np.testing.assert_array_equal(row, logits[position])


def test_prefixes_are_found_where_both_groups_have_them() -> None:
    """A second turn begins where the first one ended; what needs pages that went is computed from where it can."""
    backend = NativeBackend.load(gemma(), NativeConfig(threads=1, kv_tokens=512, sequences=1, step_tokens=64))
    engine = Engine(backend)
    prompt = tuple(position % 90 + 2 for position in range(200))
    first = engine.generate([Request(prompt, 60, GREEDY)])[0].tokens
    alone = Engine(NativeBackend.load(gemma(), NativeConfig(threads=1, kv_tokens=512)), prefix_cache=False)
    for again in ((*prompt, *first, 5, 6, 7), prompt, (*prompt[:70], 9), (*prompt, *first)):
        request = Request(again, 20, GREEDY)
        before = engine.statistics().prompt_tokens
        assert engine.generate([request])[0].tokens == alone.generate([request])[0].tokens
        engine.check_integrity()
        computed = engine.statistics().prompt_tokens - before
        assert 0 < computed <= len(again)
        if len(again) == 263:
            assert computed < 40, "a turn goes on where the last one ended"
    assert engine.statistics().prefix_found > 0


@pytest.mark.parametrize("spare", [0, 4, 30])
@pytest.mark.parametrize("window", [1, 33, 64])
def test_many_sequences_share_few_pages(window: int, spare: int) -> None:
    """Each generates what it does alone, whatever is left for the window."""
    more = [PageGroup(span_pages(window) + spare, window)]
    requests = [Request(tuple(range(first, first + 40)) * 2, 50, GREEDY) for first in (1, 3, 5, 7)]
    alone = [Engine(HashBackend(more=more)).generate([request])[0] for request in requests]
    engine = Engine(ChoosingHashBackend(pages=24, more=more))
    assert engine.generate(requests) == alone
    engine.check_integrity()
    assert (engine.free_pages, engine.free_window_pages) == (24, (more[0].pages,))


def test_no_more_pages_are_touched_than_enough_while_one_sequence_runs() -> None:
    group = PageGroup(16, 64, enough=span_pages(64) + 2)
    backend = HashBackend(more=[group])
    Engine(backend).generate([Request(tuple(range(40)) * 5, 250, GREEDY)])
    touched = (backend.memories[1] != -1).any(axis=1).sum()
    assert touched == group.enough
    Engine(backend).generate([Request((first,) * 60, 60, GREEDY) for first in range(1, 7)])
    assert (backend.memories[1] != -1).any(axis=1).sum() > touched, "further ones are there for others"


def test_a_group_that_holds_no_window_is_refused() -> None:
    with pytest.raises(ValueError, match="2 pages do not hold what a row sees of a window of 64"):
        Windows([PageGroup(2, 64)], 10)
    assert not Windows([], 10)
    assert Windows([PageGroup(2, 64)], 2)
    with pytest.raises(ValueError, match="has no window"):
        Windows([PageGroup(10)], 10)


@pytest.mark.parametrize("seed", range(20))
def test_a_prefix_is_used_as_far_as_every_window_has_what_is_seen(seed: int) -> None:
    """Against the definition: the longest beginning of which each group has the pages that the row behind it sees."""
    random = Random(seed)
    wide, narrow = (PageGroup(40, window) for window in (70, 33))
    windows = Windows([wide, narrow], 40)
    digests = [bytes([number]) for number in range(12)]
    there = [{number for number in range(12) if random.random() < share} for share in (0.8, 0.9)]
    owner = sequence_of(12 * PAGE_TOKENS + 1)
    windows.begin(owner)
    assert windows.extend(owner, 12 * PAGE_TOKENS)
    for group, (table, known) in enumerate(zip(owner.windows, there, strict=True)):
        allocator = windows._groups[group].pages
        for number, page in enumerate(table.pages):
            if number in known:
                allocator.publish(page, digests[number])
    for count in range(13):
        usable = [
            begin
            for begin in range(count + 1)
            if all(
                set(range(max(0, begin * PAGE_TOKENS + 1 - window) // PAGE_TOKENS, begin)) <= known
                for window, known in zip((70, 33), there, strict=True)
            )
        ]
        assert windows.reusable(digests, count) == max(usable)


def sequence_of(tokens: int) -> Sequence:
    request = Request((1,) * tokens, 5, GREEDY)
    return Sequence(0, request, 5, Sampler(GREEDY, ()), [1] * tokens)
