from __future__ import annotations

from xml.etree import ElementTree

import pytest

from honed.evaluate.plots import calibration_svg, confusion_svg, roc_svg

SPACE = "{http://www.w3.org/2000/svg}"


def test_a_confusion_matrix_has_its_counts_and_escapes_its_labels() -> None:
    root = ElementTree.fromstring(confusion_svg(["<a>", "b&"], [[3, 1], [0, 4]]))
    texts = [text.text for text in root.iter(f"{SPACE}text")]
    assert {"<a>", "b&", "3", "1", "4"} <= set(texts) and "0" not in texts
    shades = [(rect.get("class"), rect.get("fill-opacity")) for rect in root.iter(f"{SPACE}rect") if len(rect)]
    assert shades == [("right", "0.750"), ("wrong", "0.250"), ("wrong", "0.000"), ("right", "1.000")]


def test_curves_go_through_their_points_and_drop_those_on_a_line() -> None:
    root = ElementTree.fromstring(
        roc_svg({"m": [(0, 0), (0, 0.25), (0, 0.5), (0.5, 1), (1, 1)], "<r>": [(0, 0), (1, 1)]})
    )
    lines = {line.get("class"): line.get("points") or "" for line in root.iter(f"{SPACE}polyline")}
    assert len(lines["own"].split()) == 4
    first, last = (tuple(map(float, lines["own"].split()[i].split(","))) for i in (0, -1))
    assert first[0] < last[0] and first[1] > last[1]
    assert "<r>" in [text.text for text in root.iter(f"{SPACE}text")]


def test_calibration_has_a_dot_for_each_bin() -> None:
    root = ElementTree.fromstring(calibration_svg({"m": [(0.55, 0.5, 0.25), (0.95, 0.9, 0.75)]}))
    sizes = [float(dot.get("r") or 0) for dot in root.iter(f"{SPACE}circle")]
    assert len(sizes) == 2 and sizes[1] > sizes[0]
    assert sizes[0] == pytest.approx(2 + 6 * 0.5, abs=0.1)
