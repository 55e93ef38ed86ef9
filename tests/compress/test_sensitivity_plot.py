"""The picture has a panel for each kind of layer and a mark for each figure."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from honed.compress.layer_groups import find_layer_groups
from honed.compress.sensitivity import Choice, Sensitivity
from honed.compress.sensitivity_plot import plot
from honed.encodings.scheme import Int4Scheme, Int8Scheme
from honed.models.registry import read_model
from small_decoder import config

SVG = "{http://www.w3.org/2000/svg}"


def table() -> Sensitivity:
    groups = find_layer_groups(read_model(config()))
    choices = tuple(
        (
            Choice({name: Int8Scheme(32, 32) for name in group.names}, 100, 1e-5 * (number + 1)),
            Choice({name: Int4Scheme(32, "symmetric", 32) for name in group.names}, 50, 1e-3 * number),
        )
        for number, group in enumerate(groups)
    )
    return Sensitivity(("dense", "dense"), groups, choices, 120)


def marks(picture: str) -> list[ET.Element]:
    return [one for one in ET.fromstring(picture).iter(f"{SVG}circle") if one.get("r") == "3"]


def test_every_figure_is_a_mark() -> None:
    found = table()
    picture = plot(found, [number % 2 for number in range(len(found.groups))])
    root = ET.fromstring(picture)
    assert len(marks(picture)) == 2 * len(found.groups)
    rings = [one for one in root.iter(f"{SVG}circle") if one.get("class") == "chosen"]
    assert len(rings) == len(found.groups)
    texts = {one.text for one in root.iter(f"{SVG}text")}
    assert {"model.layers.mlp.down_proj", "lm_head", "1e-5", "1e-2"} <= texts
    assert any("120 tokens" in str(text) for text in texts)
    heights = {float(str(one.get("cy"))) for one in marks(picture)}
    assert all(0 < height < float(root.get("height", "0")) for height in heights)


def test_a_larger_figure_is_higher() -> None:
    first, second = [one for one in marks(plot(table())) if one.get("fill") == "#0969da"][
        :2
    ]  # of q, k, v in two layers
    assert float(str(first.get("cy"))) > float(str(second.get("cy")))
    assert float(str(first.get("cx"))) < float(str(second.get("cx")))
