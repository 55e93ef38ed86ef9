"""`honed costs`: a time for each layer, form and number of rows that was asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from honed.backends import native_costs, native_timing
from honed.cli.costs import costs
from honed.errors import ParameterError


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(native_timing, "STREAMED_BYTES", 1 << 14)
    monkeypatch.setattr(native_costs, "cache_directory", lambda: tmp_path)


def test_every_time_that_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    costs(shapes="64x32, 32x64", rows="1,80", threads=1, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["threads"] == 1
    assert {layer["shape"] for layer in found["layers"]} == {"64x32", "32x64"}
    forms = [layer["form"] for layer in found["layers"] if layer["shape"] == "64x32"]
    assert len(forms) == len(set(forms)) == 14
    assert all(set(layer["us"]) == {"1", "80"} for layer in found["layers"])
    assert all(0 < us < 1e6 for layer in found["layers"] for us in layer["us"].values())
    costs(shapes="64x32", rows="80", threads=1)
    shown = capsys.readouterr().out
    kept = {layer["form"]: layer["us"]["80"] for layer in found["layers"] if layer["shape"] == "64x32"}
    for form, us in kept.items():
        line = next(line for line in shown.splitlines() if form in line)
        assert line.split()[-1] == f"{us:.1f}"


@pytest.mark.parametrize(
    ("shapes", "rows", "field"), [("64", "1", "shapes"), ("64x0", "1", "shapes"), ("64x32", "0", "rows")]
)
def test_what_is_no_size_is_refused(shapes: str, rows: str, field: str) -> None:
    with pytest.raises(ParameterError, match=field):
        costs(shapes=shapes, rows=rows, threads=1)
