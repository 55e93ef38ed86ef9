"""Recommends articles to a reader, and learns from each click: how near a text is to what was read, and its numbers.

    python examples/recommender.py articles.jsonl clicks.jsonl --top 5

An article is {"id", "text"} with further numbers, if there are any (its age, say). A click is {"id", "clicked"}, in the
order in which articles were shown. Printed is how good the guesses were before each click was learned, and what to show
next. A logistic model over a few features is trained a step a click.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

import honed

REMEMBERED = 0.8
"""What is left of the taste of before with each text that is read."""


class Reader:
    """What one reader likes: the texts read so far, fading, and the weights of the features."""

    def __init__(self, width: int, features: int, rate: float = 0.5) -> None:
        self.taste = np.zeros(width, dtype=np.float64)
        self.weights = np.zeros(features + 2)
        self.squares = np.full(features + 2, 1e-8)
        self.rate = rate

    def features(self, rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """[n, 2 + numbers]: a constant, the cosine with the taste, and an article's own numbers."""
        length = np.linalg.norm(self.taste)
        near = rows @ (self.taste / length) if length else np.zeros(len(rows))
        return np.column_stack([np.ones(len(rows)), near, numbers])

    def chances(self, rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Of a click on each article."""
        return 1 / (1 + np.exp(-(self.features(rows, numbers) @ self.weights)))

    def learn(self, row: np.ndarray, numbers: np.ndarray, clicked: bool) -> None:
        """A step of AdaGrad on the log-likelihood; what was clicked becomes part of the taste behind that."""
        features = self.features(row[None], numbers[None])[0]
        gradient = (1 / (1 + np.exp(-features @ self.weights)) - clicked) * features
        self.squares += gradient**2
        self.weights -= self.rate * gradient / np.sqrt(self.squares)
        if clicked:
            self.taste = REMEMBERED * self.taste + (1 - REMEMBERED) * row


def read(path: Path) -> list[dict]:
    """Lines of JSON."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def numbers_of(articles: list[dict]) -> np.ndarray:
    """[n, k] further numbers of articles, each with mean 0 and deviation 1."""
    names = sorted({name for one in articles for name, value in one.items() if isinstance(value, int | float)} - {"id"})
    found = np.array([[float(one.get(name, 0)) for name in names] for one in articles]).reshape(len(articles), -1)
    return (found - found.mean(axis=0)) / np.maximum(found.std(axis=0), 1e-9)


def main() -> None:
    """Learns the clicks in their order, and ranks what was not shown."""
    parser = argparse.ArgumentParser(description="Recommend articles.")
    parser.add_argument("articles", type=Path)
    parser.add_argument("clicks", type=Path)
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--top", type=int, default=5)
    given = parser.parse_args()
    articles, clicks = read(given.articles), read(given.clicks)
    place = {one["id"]: index for index, one in enumerate(articles)}
    with honed.load(given.encoder) as encoder:
        rows = encoder.embed([one["text"] for one in articles], normalize=True).astype(np.float64)
    numbers = numbers_of(articles)
    reader = Reader(rows.shape[1], numbers.shape[1])
    losses: list[float] = []
    for click in clicks:
        index = place[click["id"]]
        chance = float(reader.chances(rows[index : index + 1], numbers[index : index + 1])[0])
        losses.append(-np.log(max(chance if click["clicked"] else 1 - chance, 1e-9)))
        reader.learn(rows[index], numbers[index], bool(click["clicked"]))
    half = len(losses) // 2
    if half:
        print(f"loss of a guess: {np.mean(losses[:half]):.3f} in the first half, {np.mean(losses[half:]):.3f} after")
    shown = {click["id"] for click in clicks}
    chances = reader.chances(rows, numbers)
    rest = [index for index in np.argsort(-chances) if articles[index]["id"] not in shown]
    for index in rest[: given.top]:
        print(f"{chances[index]:.2f}  {articles[index]['id']}  {articles[index]['text'][:70]}")


if __name__ == "__main__":
    try:
        main()
    except (honed.errors.HonedError, OSError, ValueError, KeyError) as error:
        sys.exit(f"recommender: {error}")
