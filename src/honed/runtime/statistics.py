"""What an engine has done since it was made, in numbers. Not here: how they are shown (`server/metrics.py`)."""

from __future__ import annotations

from honed.records import dataclass


@dataclass(frozen=True)
class EngineStatistics:
    """A snapshot. Counts only grow, but for the first five.

    running, waiting: requests that have pages, and those that have none yet. free_pages (cached ones that nobody uses
    included), cached_pages, total_pages: of the first group of the KV cache. prefix_queried, prefix_found: tokens of
    prompts that were looked up in the prefix cache, and those that were there. preemptions: requests that lost their
    pages for another, evictions: pages that lost what they cached. prompt_tokens: computed, those of preempted
    requests again; generated_tokens: chosen, stop tokens included. steps, step_seconds: of the backend's batches, all
    of a step included. proposed, accepted: tokens that were tried ahead of the model, and those that it chose.
    """

    running: int
    waiting: int
    free_pages: int
    cached_pages: int
    total_pages: int
    prefix_queried: int
    prefix_found: int
    preemptions: int
    evictions: int
    prompt_tokens: int
    generated_tokens: int
    steps: int
    step_seconds: float
    proposed: int
    accepted: int
