"""A customer-service bot: finds what a shop's articles say about a question, and answers from that alone.

    python examples/support_bot.py --articles help.txt "Can I send a gift back?"

An article is a paragraph of the file. Vectors lie in SQLite, so that the next start embeds only what is new. Without a
question it asks for some. --encoder and --model are any names that honed.load takes.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
from pathlib import Path

import numpy as np

import honed

ARTICLES = """\
Returns: everything can be sent back within 30 days, in its box and with the receipt.
Gifts too: their price becomes a voucher.

Delivery takes two to four working days. Above 50 euros it is free, below it costs 4.90 euros.

Payment is by card, bank transfer or invoice. An invoice is due within 14 days.

Repairs are free in the first two years. Send the device to us with a description of the fault.
"""
RULES = (
    "You answer customers of a shop in one or two sentences, only from these articles. If they do not say, say so.\n\n"
)
NEAR_ENOUGH = 0.2
"""Cosine under which an article has nothing to do with a question."""


class Articles:
    """Texts and their vectors in a database."""

    def __init__(self, path: Path | str, encoder: honed.TextEncoder) -> None:
        self.encoder = encoder
        self.base = sqlite3.connect(path)
        self.base.execute("CREATE TABLE IF NOT EXISTS article (text TEXT PRIMARY KEY, vector BLOB, model TEXT)")

    def update(self, texts: list[str]) -> int:
        """Makes the articles these; how many of them were new."""
        model = self.encoder.name
        known = {text for (text,) in self.base.execute("SELECT text FROM article WHERE model = ?", (model,))}
        new = [text for text in dict.fromkeys(texts) if text not in known]
        rows = self.encoder.embed(new, normalize=True) if new else []
        with self.base:
            self.base.executemany("DELETE FROM article WHERE text = ?", [(text,) for text in known - set(texts)])
            self.base.executemany(
                "INSERT OR REPLACE INTO article VALUES (?, ?, ?)",
                [(text, row.tobytes(), model) for text, row in zip(new, rows, strict=True)],
            )
        return len(new)

    def nearest(self, question: str, count: int) -> list[tuple[float, str]]:
        """The articles that are nearest to a question, with their cosines."""
        found = self.base.execute("SELECT text, vector FROM article WHERE model = ?", (self.encoder.name,)).fetchall()
        if not found:
            return []
        rows = np.stack([np.frombuffer(vector, dtype=np.float32) for _, vector in found])
        near = rows @ self.encoder.embed([question], normalize=True)[0]
        return [(float(near[place]), found[place][0]) for place in np.argsort(-near)[:count]]


def answer(model: honed.LanguageModel, articles: Articles, question: str, max_tokens: int) -> str:
    """Prints the reply as it comes; the articles that it is made from go before it."""
    found = [(near, text) for near, text in articles.nearest(question, 2) if near >= NEAR_ENOUGH]
    if not found:
        print("I find nothing about that; a colleague will write to you.")
        return ""
    for near, text in found:
        print(f"[{near:.2f} {text.splitlines()[0][:70]}]")
    messages = [
        {"role": "system", "content": RULES + "\n\n".join(text for _, text in found)},
        {"role": "user", "content": question},
    ]
    stream = model.stream(messages, max_tokens=max_tokens, temperature=0)
    for piece in stream:
        print(piece, end="", flush=True)
    print()
    return stream.generation.text


def main() -> None:
    """Answers the questions of the command line, else those of standard input."""
    parser = argparse.ArgumentParser(description="Answer customers from articles.")
    parser.add_argument("questions", nargs="*")
    parser.add_argument("--articles", type=Path, help="a text file, a paragraph an article; default: four of a shop")
    parser.add_argument("--database", default=":memory:")
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--max-tokens", type=int, default=80)
    given = parser.parse_args()
    text = ARTICLES if given.articles is None else given.articles.read_text(encoding="utf-8")
    paragraphs = [part.strip() for part in text.split("\n\n") if part.strip()]
    with honed.load(given.encoder) as encoder, honed.load(given.model) as model:
        articles = Articles(given.database, encoder)
        print(f"{len(paragraphs)} articles, {articles.update(paragraphs)} of them new")
        for question in given.questions or map(str.strip, sys.stdin):
            if question:
                print(f"> {question}")
                answer(model, articles, question, given.max_tokens)


if __name__ == "__main__":
    try:
        main()
    except (honed.errors.HonedError, OSError) as error:
        sys.exit(f"support_bot: {error}")
