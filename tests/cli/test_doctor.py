"""`honed doctor`: the machine as the extension sees it."""

from __future__ import annotations

import json

import pytest

from honed.cli.doctor import doctor, examine
from honed.errors import SourceError
from honed.native import extension


def test_report_agrees_with_the_extension(capsys: pytest.CaptureFixture[str]) -> None:
    doctor(as_json=True)
    report = json.loads(capsys.readouterr().out)
    assert report["isas"] == extension.isas()
    assert report["isa"] == report["isas"][0]
    assert report["isas"][-1] == "portable"
    assert report["threads"] == extension.default_threads() >= 1
    assert report["optional"]["torch"] is not None


def test_text_names_the_instruction_set(capsys: pytest.CaptureFixture[str]) -> None:
    doctor()
    assert examine()["isa"] in capsys.readouterr().out


def test_portable_alone_is_remarked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extension, "isas", lambda: ["portable"])
    assert any("portable kernels are correct but slow" in advice for advice in examine()["advice"])


def test_tiles_that_are_refused_are_remarked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    features = {**extension.features(), "instruction_sets": ["avx512vnni", "amx_tile", "amx_int8"]}
    monkeypatch.setattr(extension, "features", lambda: features)
    monkeypatch.setattr(extension, "isas", lambda: ["avx512vnni", "avx2", "portable"])
    assert any("tile registers are refused" in advice for advice in examine()["advice"])
    monkeypatch.setattr(extension, "isas", lambda: ["amx", "avx512vnni", "avx2", "portable"])
    assert examine()["advice"] == []


def test_without_a_home_the_rest_is_still_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nowhere() -> None:
        raise SourceError("there is no home directory; set XDG_CACHE_HOME")

    monkeypatch.setattr("honed.checkpoints.source.cache_directory", nowhere)
    doctor()
    text = capsys.readouterr().out
    assert "none: there is no home directory; set XDG_CACHE_HOME" in text
    assert examine()["isa"] in text
