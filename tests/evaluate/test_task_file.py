from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.errors import HonedError, ParameterError, SourceError
from honed.evaluate.task_file import make_task, read_task

GOOD: dict[str, Any] = {"version": 1, "task": "similarity", "data": {"path": "pairs.csv"}}


def test_a_file_of_either_form(tmp_path: Path) -> None:
    yaml = tmp_path / "a.yaml"
    yaml.write_text("version: 1\ntask: text-classification\ndata: {path: a.tsv}\nlabels: {'0': bad}\nlimit: 5\n")
    task = read_task(yaml)
    assert (task.task, task.limit, task.labels) == ("text-classification", 5, {"0": "bad"})
    assert task.metric_names == ("accuracy", "f1_macro")
    path = tmp_path / "a.json"
    path.write_text(json.dumps(task.as_json()))
    assert read_task(path) == task


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"metrcs": ["pearson"]}, r"task\.metrcs = \['pearson'\]: is an unknown key; did you mean 'metrics'\?"),
        ({"data": {"pth": "a"}}, r"task\.data\.pth = 'a': is an unknown key; did you mean 'path'\?"),
        ({"options": {"positiv": "a"}}, r"did you mean 'positive'\?"),
        ({"task": "similarty"}, r"task\.task = 'similarty': did you mean 'similarity'\?"),
        ({"metrics": ["pearsn"]}, r"metrics = 'pearsn': did you mean pearson\?"),
        ({"fields": {"scores": "x"}}, r"fields\.scores: did you mean score\? similarity has text, text_pair, score"),
        ({"version": 2}, r"task\.version = 2: "),
        ({"data": {}}, "must have either path, a file, or hub, a dataset"),
        ({"data": {"hub": "a/b"}}, "hub and file go together"),
        ({"limit": 0}, r"task\.limit = 0: "),
        ({"samples": 3}, "over 1 need a temperature over 0"),
        ({"task": "generation"}, "prompt: must say what a model is given"),
    ],
)
def test_what_is_wrong_is_said_with_the_nearest_that_is_right(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        make_task({**GOOD, **change})


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        read_task(tmp_path / "none.yaml")
    with pytest.raises(ParameterError, match=r"must be a \.json, \.yaml or \.yml file"):
        read_task(tmp_path / "none.txt")
    with pytest.raises(ParameterError, match=r"task\.data = 'nothing': must be there"):
        make_task({"version": 1, "task": "similarity"})


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.sampled_from([*make_task(GOOD).as_json(), "x"]), VALUES, max_size=4))
def test_whatever_stands_in_a_file_is_read_or_refused_in_a_sentence(change: dict[str, Any]) -> None:
    try:
        make_task({**GOOD, **change})
    except HonedError as error:
        assert str(error)


EXAMPLES = Path(__file__).parents[2] / "examples" / "eval"


@pytest.mark.parametrize(
    "path", sorted(set(EXAMPLES.glob("*.yaml")) - {EXAMPLES / "groups.yaml"}), ids=lambda path: path.stem
)
def test_the_examples_that_are_shipped_are_right(path: Path) -> None:
    assert read_task(path).metrics
