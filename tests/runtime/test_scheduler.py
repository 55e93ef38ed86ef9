"""What can be told of a schedule without running it. The scheduler at work is tested through the engine."""

from __future__ import annotations

import pytest

from hash_backend import VOCABULARY, GreedyHashBackend
from honed.runtime.engine import Engine
from honed.runtime.events import Generated
from honed.runtime.request import GREEDY, Request
from honed.runtime.scheduler import head_start


@pytest.mark.parametrize(
    ("sequences", "prompt_tokens", "step_tokens"),
    [
        (1, 7, 4),
        (2, 1, 64),
        (5, 3, 64),
        (5, 3, 5),
        (4, 64, 64),
        (3, 65, 64),
        (8, 50, 16),
        (8, 9, 8),
        (16, 60, 16),
        (64, 1, 64),
    ],
)
def test_head_start_is_what_the_engine_gives(sequences: int, prompt_tokens: int, step_tokens: int) -> None:
    engine = Engine(GreedyHashBackend(context=1024, pages=32 * sequences, step_tokens=step_tokens))
    for index in range(sequences):
        engine.add(Request(((index + 1) % VOCABULARY,) * prompt_tokens, 1000, GREEDY))
    counts = [0] * sequences
    while not min(counts):
        for event in engine.step():
            if isinstance(event, Generated):
                counts[event.request_id] += 1
    assert counts[-1] == 1
    assert counts[0] == max(counts) == 1 + head_start(sequences, prompt_tokens, step_tokens)


def test_head_start_of_long_prompts() -> None:
    """Sixteen of 1,920 tokens: some sixty steps of 512, of which the first four compute the first prompt."""
    assert 56 <= head_start(16, 1920, 512) <= 60
