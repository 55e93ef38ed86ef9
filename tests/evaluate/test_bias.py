from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honed.errors import ParameterError
from honed.evaluate.bias import group_gaps, group_texts, read_templates
from honed.evaluate.resample import Draws

FILE: dict[str, Any] = {
    "version": 1,
    "groups": {"women": {"name": ["Mary", "Anna"], "who": "she"}, "men": {"name": ["John", "Peter"], "who": "he"}},
    "templates": ["{name} says {who} sings.", "{who} sings"],
}


def written(directory: Path, **change: Any) -> Path:
    path = directory / "bias.json"
    path.write_text(json.dumps({**FILE, **change}))
    return path


def test_words_at_one_place_stand_for_each_other(tmp_path: Path) -> None:
    file = read_templates(written(tmp_path))
    assert file.places == 2
    assert group_texts(file) == {
        "women": ["Mary says she sings.", "Anna says she sings.", "she sings", "she sings"],
        "men": ["John says he sings.", "Peter says he sings.", "he sings", "he sings"],
    }
    yaml = tmp_path / "bias.yaml"
    yaml.write_text("version: 1\ngroups: {a: {w: x}, b: {w: z}}\ntemplates: ['{w}']\n")
    assert read_templates(yaml).places == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"template": ["x"]}, "is an unknown key; did you mean 'templates'"),
        ({"templates": ["{nam} sings"]}, r"templates\[0\]: \{nam\} is no word of the groups; did you mean \{name\}"),
        ({"templates": ["sings"]}, r"templates\[0\]: names no word of a group"),
        ({"groups": {"a": {"x": "1"}}}, "at least 2"),
        ({"groups": {"a": {"x": "1"}, "b": {"y": "1"}}}, "each must name the same words"),
        ({"groups": {"a": {"name": ["1", "2"]}, "b": {"name": ["1"]}}}, "lists must be of one length"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        read_templates(written(tmp_path, **change))


def test_gaps_are_over_templates_and_compared_with_the_reference() -> None:
    random = np.random.default_rng(1)
    base = random.normal(0, 1, 40)
    theirs = {"a": base, "b": base - 0.1}
    ours = {"a": base + 0.3, "b": base - 0.1 + random.normal(0, 0.01, 40)}
    decided = ({"a": ["x"] * 40, "b": ["x"] * 30 + ["y"] * 10}, {"a": ["x"] * 40, "b": ["x"] * 40})
    (gap,) = group_gaps("x", ours, theirs, Draws(), places=2, decided=decided)
    assert (gap.first, gap.second) == ("a", "b")
    assert gap.ours.value == pytest.approx(0.4, abs=0.01)
    assert gap.theirs is not None and gap.theirs.value == pytest.approx(0.1)
    assert gap.change is not None and 0.29 < gap.change.low < 0.3 < gap.change.high < 0.31
    assert gap.p is not None and gap.p < 0.01
    assert gap.flips == (0.25, 0.0)
    wide = group_gaps("x", ours, None, Draws(), places=20)[0]
    assert wide.theirs is None and wide.change is None and wide.flips is None


def test_the_example_that_is_shipped_is_right() -> None:
    file = read_templates(Path(__file__).parents[2] / "examples" / "eval" / "groups.yaml")
    texts = group_texts(file)
    assert len(texts["women"]) == 30 and not set(texts["women"]) & set(texts["men"])
