"""Time to first token of a second request that shares 1,000 tokens with the first, and what a JSON schema costs.

    python studies/serving/shared_prefix.py MODEL [--rounds 7]

Each round has a prefix of its own, so that the first request of each finds nothing kept. The reply to a schema is
compared with a free one by the time of a token, one stream at a time, in turns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time

from servers import honed, stream

from honed.bench.load.connection import Address, send
from honed.bench.load.plan import LoadPlan, Prompts

SHARED = 1000
SCHEMA = {
    "type": "object",
    "properties": {
        "people": {
            "type": "array",
            "minItems": 12,
            "maxItems": 12,
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "email": {"type": "string"}},
                "required": ["name", "age", "email"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["people"],
    "additionalProperties": False,
}
TOKENS = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    with honed(given.model) as server:
        asyncio.run(prefixes(server.url, given.rounds))
    for words in ([], ["--speculation", "off"]):
        with honed(given.model, *words) as server:
            asyncio.run(schemas(server.url, given.rounds, "speculation off" if words else "as served"))


async def prefixes(url: str, rounds: int) -> None:
    """Prints both times and the ratio."""
    await first_token(url, "warm up")
    ratios, times = [], []
    for turn in range(rounds):
        prompts = Prompts(LoadPlan(prompt_tokens=SHARED + 20, shared_tokens=SHARED, seed=turn + 1))
        prompts.calibrate(477, 1000)
        cold, warm = [await first_token(url, prompts.text(number)) for number in range(2)]
        ratios.append(warm / cold)
        times.append((cold, warm))
    cold, warm = (1000 * statistics.median(each) for each in zip(*times, strict=True))
    say(
        f"shared prefix of {SHARED} tokens: first token {cold:.1f} ms, then {warm:.1f} ms: "
        f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
    )


async def first_token(url: str, text: str) -> float:
    """Seconds."""
    body = {"model": "model", "prompt": text, "max_tokens": 1, "temperature": 0, "ignore_eos": True, "stream": True}
    times, sent, _ = await stream(url, "/v1/completions", body)
    return times[0] - sent


async def schemas(url: str, rounds: int, label: str) -> None:
    """Prints tokens a second of both, and the ratio."""
    schema = {"type": "json_schema", "json_schema": {"name": "people", "schema": SCHEMA, "strict": True}}
    await rate(url, schema)
    ratios, rates = [], []
    for turn in range(rounds):
        pair = {}
        for shaped in (True, False) if turn % 2 else (False, True):
            pair[shaped] = await rate(url, schema if shaped else None)
        ratios.append(pair[True] / pair[False])
        rates.append((pair[True], pair[False]))
    held, free = (statistics.median(each) for each in zip(*rates, strict=True))
    say(
        f"JSON schema, {label}: {held:.1f} tokens/s, unconstrained {free:.1f}: {statistics.median(ratios):.3f} "
        f"({min(ratios):.3f} to {max(ratios):.3f})"
    )


async def rate(url: str, response_format: dict[str, object] | None) -> float:
    """Tokens a second of one reply, from its first token on, by the server's count."""
    body: dict[str, object] = {
        "model": "model",
        "messages": [{"role": "user", "content": "Invent twelve people, as JSON."}],
        "max_tokens": TOKENS,
        "temperature": 0.7,
        "seed": 1,
        "stream": True,
        "stream_options": {"include_usage": True},
        "ignore_eos": response_format is None,
    }
    if response_format is not None:
        body["response_format"] = response_format
    answer = await send(Address.of(url), "POST", "/v1/chat/completions", body)
    first = last = 0.0
    tokens = 0
    try:
        assert answer.status == 200, await answer.body()
        async for data in answer.events():
            if data == "[DONE]":
                break
            chunk = json.loads(data)
            tokens = (chunk.get("usage") or {}).get("completion_tokens") or tokens
            if any(choice["delta"].get("content") for choice in chunk["choices"]):
                last = time.perf_counter()
                first = first or last
    finally:
        answer.close()
    return (tokens - 1) / (last - first)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
