"""The plot has a point for each row with figures, where its size and divergence put it, and names apart."""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ET
from itertools import pairwise

from honed.bench.recipe_plot import svg
from honed.bench.recipe_rows import RecipeResults
from recipe_results import FAILED, FILE, QUALITY, ROW

NAMESPACE = "{http://www.w3.org/2000/svg}"


def test_points_lie_where_their_figures_say() -> None:
    worse = dataclasses.replace(ROW, name="nf4", quality=dataclasses.replace(QUALITY, kl=(0.3, 0.2, 0.4)))
    picture = svg(RecipeResults({"model": "m & n"}, (ROW, FILE, FAILED, worse)))
    root = ET.fromstring(picture)
    points = [
        (one.get("class"), float(one.get("cx", 0)), float(one.get("cy", 0))) for one in root.iter(f"{NAMESPACE}circle")
    ]
    assert sorted(kind or "" for kind, _, _ in points) == ["other", "own", "own"]
    (_, _, high), *low = sorted(points, key=lambda point: point[2])
    # Two powers of ten apart of three.
    assert abs(low[0][2] - high - 2 / 3 * (560 - 40 - 56)) < 0.5
    file = next(point for point in points if point[0] == "other")
    own = [point for point in points if point[0] == "own"]
    assert all(file[1] < point[1] for point in own)


def test_names_do_not_lie_upon_each_other() -> None:
    rows = tuple(dataclasses.replace(ROW, name=f"recipe-{i}") for i in range(6))
    places = [float(y) for y in re.findall(r'class="name" x="[\d.]+" y="([\d.]+)"', svg(RecipeResults({}, rows)))]
    assert len(places) == 6
    assert all(b - a >= 13 for a, b in pairwise(places))


def test_without_figures_it_is_empty_and_well_formed() -> None:
    assert not list(ET.fromstring(svg(RecipeResults({}, (FAILED,)))).iter(f"{NAMESPACE}circle"))
