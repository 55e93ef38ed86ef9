"""The picture, read back as XML: what is drawn stands where the numbers say."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from bench_results import measured
from honed.bench import report as report_module
from honed.bench.contender import Skipped
from honed.bench.plot import axis, svg
from honed.bench.report import Report, make_report
from honed.bench.workload import Workload

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> Report:
    monkeypatch.setattr(report_module, "machine", lambda: {"architecture": "x86_64"})
    batch = Workload(prompt_tokens=100, new_tokens=11, threads=2, runs=3, batch=8)
    return make_report(
        [
            measured("honed", 4),
            measured("a & b", 2),
            measured("honed", 5, workload=batch),
            Skipped("other", "m", "is not here"),
        ]
    )


def drawn(report: Report) -> ElementTree.Element:
    return ElementTree.fromstring(svg(report))


def bars(picture: ElementTree.Element, kind: str) -> list[ElementTree.Element]:
    return [bar for bar in picture.iter(f"{SVG}rect") if bar.get("class") == kind]


def test_bars_are_as_long_as_speeds(report: Report) -> None:
    picture = drawn(report)
    own, other = bars(picture, "own"), bars(picture, "other")
    assert (len(own), len(other)) == (4, 2), "two speeds of each row, none of the skipped system"
    assert float(own[0].get("width", 0)) == pytest.approx(2 * float(other[0].get("width", 0)), rel=1e-3)
    assert {bar.get("x") for bar in own} == {bar.get("x") for bar in (own[0], own[1])}


def test_limit_is_a_line_at_its_value(report: Report) -> None:
    """Decode at 40 of at most 100 tokens a second."""
    picture = drawn(report)
    bar = bars(picture, "own")[0]
    limit = next(line for line in picture.iter(f"{SVG}line") if line.get("class") == "limit")
    left, width = float(bar.get("x", 0)), float(bar.get("width", 0))
    assert float(limit.get("x1", 0)) - left == pytest.approx(width * 100 / 40, rel=0.01)


def test_everything_stays_inside_and_axes_have_units(report: Report) -> None:
    picture = drawn(report)
    width, height = float(picture.get("width", 0)), float(picture.get("height", 0))
    for text in picture.iter(f"{SVG}text"):
        assert 0 < float(text.get("x", 0)) < width
        assert 0 < float(text.get("y", 0)) < height
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    assert texts.count("decode, tokens per second") == 2
    assert "100 prompt and 11 new tokens, 8 sequences together, 2 threads" in texts
    assert "a & b" in texts
    assert "prefers-color-scheme: dark" in svg(report)


def test_nothing_measured_is_an_empty_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_module, "machine", dict)
    assert not bars(drawn(make_report([Skipped("other", "m", "x")])), "own")


@pytest.mark.parametrize("largest", [0.9, 1, 7, 99, 100, 430, 1000, 12345])
def test_axis_has_a_few_round_steps_and_ends_past_the_largest(largest: float) -> None:
    end, step = axis(largest)
    assert end >= largest * 0.999
    assert 2 <= round(end / step) <= 6
    assert f"{step:.0e}"[0] in "125"
    assert float(f"{step:.0e}") == pytest.approx(step)
