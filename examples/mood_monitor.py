"""Watches what people write: which topic, how they feel, and an alert where the negative ones surge. Draws it as SVG.

    generate-messages | python examples/mood_monitor.py --plot mood.svg

A line is a message. Topics are given by a few sentences each (--topics, JSON), and a message has the nearest one. The
mood is that of a classifier (--classifier, any model of honed.pipeline("text-classification") with a label for what is
positive), else of sentences too; between the two moods lies a neutral band.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import honed

TOPICS = {
    "delivery": ["The parcel came late.", "My order has not arrived.", "Shipping was quick."],
    "price": ["It costs too much.", "A good price.", "I was charged twice."],
    "quality": ["It broke after a week.", "The material feels cheap.", "It is solid and well made."],
}
MOODS = {
    "positive": ["I love it, thank you.", "Great, I am very happy with it.", "Works perfectly, well done."],
    "negative": ["I hate it, this is terrible.", "I am angry and want my money back.", "It does not work, awful."],
}
POSITIVE = ("positive", "pos", "label_1", "1", "good")
BAND = 0.15
"""Moods from -1 to 1 that are neither: up to so far from 0."""
COLORS = {"negative": "#c0392b", "neutral": "#8a8f98", "positive": "#2e8b57"}


class Prototypes:
    """Names by the mean vector of sentences that stand for them."""

    def __init__(self, encoder: honed.TextEncoder, given: dict[str, list[str]]) -> None:
        self.names = list(given)
        self.rows = [encoder.embed(texts, normalize=True).mean(axis=0) for texts in given.values()]

    def near(self, row) -> dict[str, float]:
        return {name: float(own @ row) for name, own in zip(self.names, self.rows, strict=True)}


class Surge:
    """Whether too many of the last messages are negative: a third, and three deviations over their usual share."""

    def __init__(self, window: int) -> None:
        self.last: deque[bool] = deque(maxlen=window)
        self.negative = self.seen = 0

    def add(self, negative: bool) -> bool:
        if len(self.last) == self.last.maxlen:  # what leaves the window is what is usual
            self.negative += self.last[0]
            self.seen += 1
        self.last.append(negative)
        if self.seen < len(self.last):
            return False
        usual = (self.negative + 1) / (self.seen + 2)
        spread = math.sqrt(usual * (1 - usual) / len(self.last))
        return sum(self.last) / len(self.last) > max(1 / 3, usual + 3 * spread)


def moods(texts: list[str], rows, prototypes: Prototypes, classifier) -> Iterator[float]:
    """From -1 to 1."""
    if classifier is None:
        for row in rows:
            near = prototypes.near(row)
            yield max(-1.0, min(1.0, 2 * (near["positive"] - near["negative"])))
        return
    for labels in classifier(texts, top_k=None):
        yield 2 * sum(one["score"] for one in labels if one["label"].lower() in POSITIVE) - 1


def kind(mood: float) -> str:
    return "positive" if mood > BAND else "negative" if mood < -BAND else "neutral"


def plot(path: Path, found: list[tuple[str, float, bool]]) -> None:
    """Messages from left to right, a column of each topic's, negative ones down; alerts as lines."""
    wide, high = max(3 * len(found), 60), 120
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" font-family="sans-serif">']
    for place, (topic, mood, alert) in enumerate(found):
        x, y = 3 * place, 60 - 50 * max(0.0, mood)
        title = f"<title>{topic} {mood:+.2f}</title>"
        parts.append(f'<rect x="{x}" y="{y:.1f}" width="2" height="{max(1.0, abs(50 * mood)):.1f}" ')
        parts.append(f'fill="{COLORS[kind(mood)]}">{title}</rect>')
        if alert:
            parts.append(f'<line x1="{x}" x2="{x}" y1="0" y2="{high}" stroke="#c0392b" stroke-width="0.7"/>')
    path.write_text("".join([*parts, "</svg>\n"]), encoding="utf-8")


def main() -> None:
    """Message by message, until the end of the input."""
    parser = argparse.ArgumentParser(description="Watch topics and moods of messages.")
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--classifier")
    parser.add_argument("--topics", type=Path)
    parser.add_argument("--window", type=int, default=20)
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    topics = TOPICS if given.topics is None else json.loads(given.topics.read_text(encoding="utf-8"))
    classifier = given.classifier and honed.pipeline("text-classification", given.classifier)
    found: list[tuple[str, float, bool]] = []
    surge, before = Surge(given.window), False
    with honed.load(given.encoder) as encoder:
        by_topic, by_mood = Prototypes(encoder, topics), Prototypes(encoder, MOODS)
        lines = (line.strip() for line in sys.stdin if line.strip())
        while texts := list(islice(lines, 16)):
            rows = encoder.embed(texts, normalize=True)
            for text, row, mood in zip(texts, rows, moods(texts, rows, by_mood, classifier or None), strict=True):
                near = by_topic.near(row)
                topic, alert = max(near, key=near.__getitem__), surge.add(kind(mood) == "negative")
                found.append((topic, mood, alert and not before))
                print(f"{topic:10} {kind(mood):8} {mood:+.2f}  {text[:80]}")
                if alert and not before:
                    print(f"ALERT: {sum(surge.last)} of the last {len(surge.last)} messages are negative")
                before = alert
    if given.plot:
        plot(given.plot, found)


if __name__ == "__main__":
    try:
        main()
    except (honed.errors.HonedError, OSError, ValueError) as error:
        sys.exit(f"mood_monitor: {error}")
