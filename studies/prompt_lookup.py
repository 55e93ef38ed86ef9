"""What prompt lookup gains where a text is edited, and what it costs where one is made up.

    python studies/prompt_lookup.py MODEL [--rounds 5] [--tokens 256] [--temperature 0] [--sequences 1]

Plain decoding and decoding with proposals take turns step by step in one process, each in an engine that lives through
all rounds; the tokens of both are compared.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

from honed.api.language_model import LanguageModel
from honed.api.load import load_language_model
from honed.backends.options import RunOptions
from honed.runtime.engine import Engine
from honed.runtime.events import Generated
from honed.runtime.request import Request, Sampling

PASSAGE = """def read_settings(path):
    settings = {}
    with open(path) as file:
        for line in file:
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            name, _, value = line.partition("=")
            settings[name.strip()] = value.strip()
    return settings


def write_settings(path, settings):
    with open(path, "w") as file:
        for name, value in sorted(settings.items()):
            file.write(f"{name} = {value}\\n")


def merge_settings(base, changes):
    merged = dict(base)
    for name, value in changes.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = value
    return merged
"""
EDIT = f"Rename settings to options:\n\n{PASSAGE}\n\nThe same program again:\n\n{PASSAGE}\n\nAnd again:\n\n"
FREE = [
    "The lighthouse keeper had not spoken to anyone for three weeks when the boat arrived. He",
    "Photosynthesis is the process by which plants make food. In the first stage,",
    "My grandmother used to tell us stories about the war. One evening she",
    "The city council met on Tuesday to discuss the new bridge. According to the mayor,",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--sequences", type=int, default=1)
    arguments = parser.parse_args()
    models = [
        load_language_model(arguments.model, RunOptions(context=1024, sequences=arguments.sequences)) for _ in "ab"
    ]
    compare(models, "edit this text", [EDIT], arguments)
    compare(models, "free text", FREE, arguments)


def compare(models: list[LanguageModel], name: str, prompts: list[str], arguments: argparse.Namespace) -> None:
    """Prints tokens a second with and without proposals, and the ratio."""
    engines = [Engine(model.backend) for model in models]
    ratios: list[float] = []
    for turn in range(arguments.rounds):
        sampling = Sampling(temperature=arguments.temperature, seed=turn)
        decoders = [
            Decoder(
                engine,
                [
                    Request(
                        tuple(models[0].tokenizer.encode(prompts[(turn + i) % len(prompts)])),
                        arguments.tokens,
                        sampling,
                        speculate=speculate,
                    )
                    for i in range(arguments.sequences)
                ],
            )
            # Each engine has both parts in turn: where its memory lies makes one faster than the other.
            for engine, speculate in zip(engines, (turn % 2 == 1, turn % 2 == 0), strict=True)
        ]
        # Step by step in turns: what disturbs one disturbs the other.
        while not all(decoder.engine.idle for decoder in decoders):
            for decoder in decoders:
                decoder.step()
        plain, proposing = decoders if turn % 2 == 0 else reversed(decoders)
        if plain.texts != proposing.texts:
            raise AssertionError("proposals changed the text")
        ratios.append(proposing.rate() / plain.rate())
        sys.stdout.write(f"  {plain.rate():.1f} to {proposing.rate():.1f} tokens/s\n")
    numbers = [engine.statistics() for engine in engines]
    accepted, proposed = sum(each.accepted for each in numbers), sum(each.proposed for each in numbers)
    sys.stdout.write(
        f"{name}: {statistics.median(ratios):.3f} of plain decoding ({min(ratios):.3f} to {max(ratios):.3f}), "
        f"{accepted} of {proposed} proposals accepted in {sum(each.steps for each in numbers)} steps of both\n"
    )


class Decoder:
    """Requests in one engine, and what the steps behind their prompts took."""

    def __init__(self, engine: Engine, requests: list[Request]) -> None:
        self.engine = engine
        self.first = engine.add(requests[0])
        ids = [self.first, *(engine.add(request) for request in requests[1:])]
        self.texts: dict[int, list[int]] = {index: [] for index in range(len(ids))}
        self.seconds: list[float] = []
        self.tokens = 0
        while any(not text for text in self.texts.values()):
            self._take()

    def step(self) -> None:
        """One, if there is anything left to do."""
        if not self.engine.idle:
            before, started = sum(map(len, self.texts.values())), time.perf_counter()
            self._take()
            self.seconds.append(time.perf_counter() - started)
            self.tokens += sum(map(len, self.texts.values())) - before

    def rate(self) -> float:
        """Tokens a second; a step that took over three times the median was held up by something else, and counts as
        three."""
        most = 3 * statistics.median(self.seconds)
        return self.tokens / sum(min(seconds, most) for seconds in self.seconds)

    def _take(self) -> None:
        for event in self.engine.step():
            if isinstance(event, Generated):
                self.texts[event.request_id - self.first].append(event.token)


if __name__ == "__main__":
    main()
