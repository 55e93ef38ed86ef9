from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

from test_task_report import CLASSES, classes

from honed.evaluate.page import page
from honed.evaluate.task_report import finite, task_report

HOSTILE = "<script>alert('x')</script>\" onload=\"y"


def report(**more: Any) -> dict[str, Any]:
    examples, ours, theirs = classes()
    subject = {"name": HOSTILE, "dtype": "auto", "kv": "auto", "fingerprint": "f"}
    return {
        "name": HOSTILE,
        "model": subject,
        "reference": {**subject, "name": "source"},
        "data": {"name": HOSTILE, "sha256": "s", "rows": 50, "examples": 40},
        **task_report(CLASSES, examples, ours, theirs),
        "task": CLASSES.as_json(),
        "settings": {"draws": {"resamples": 2000, "confidence": 0.95, "seed": 0}, "isa": "avx2", "version": "0"},
        **more,
    }


class Seen(HTMLParser):
    """Tags and what they refer to; every tag that is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_asks_for_nothing_and_runs_nothing() -> None:
    text = page(report())
    seen = Seen()
    seen.feed(text)
    assert seen.open == []
    assert not {"script", "link", "img", "iframe", "object"} & set(seen.tags)
    assert not {name for name in seen.attributes if name.startswith("on") or name in ("src", "href")}
    addresses = set(re.findall(r"https?://[^\s\"<]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg"}, "the name space of SVG is asked of nobody"
    assert "default-src 'none'" in text
    assert "prefers-color-scheme: dark" in text
    assert HOSTILE not in text


def test_the_page_shows_metrics_pictures_and_examples() -> None:
    text = page(report())
    assert text.count("<figure>") == 4, "two confusion matrices, the ROC curves, calibration"
    for name in CLASSES.metrics:
        assert f"<td>{name}</td>" in text
    assert "The 20 worst examples" in text
    assert "40 examples of 50" in text


def test_without_a_reference_there_is_no_gap() -> None:
    examples, ours, _ = classes()
    text = page(report(reference=None) | task_report(CLASSES, examples, ours, None))
    assert "McNemar" not in text and "source" not in text


def test_further_sections_are_escaped_too() -> None:
    section = {
        "title": HOSTILE,
        "note": HOSTILE,
        "tables": [{"title": HOSTILE, "header": [HOSTILE], "rows": [[HOSTILE]]}],
        "marked": [{"title": HOSTILE, "words": [[HOSTILE, 0.5], ["w", -0.25]]}],
    }
    text = page(report(sections=[section]))
    seen = Seen()
    seen.feed(text)
    assert "script" not in seen.tags and text.count("<mark") == 2
    assert "--good) 60%" in text and "--bad) 30%" in text


def test_what_is_no_number_is_said_so() -> None:
    examples, ours, theirs = classes()
    for example in examples:
        object.__setattr__(example, "reference", ("yes",))  # an area needs two classes
    found = finite(report() | task_report(CLASSES, examples, ours, theirs))
    json.dumps(found, allow_nan=False)
    assert found["metrics"]["roc_auc"]["value"]["value"] is None
    assert '<td>roc_auc</td><td class="">none</td>' in page(found)
