"""Adapters beside tools by name: processes are real, the systems are the fakes of `fake_peer.py`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import fake_peer
from honed.api.peer_check import EVERYTHING, check_peers
from honed.bench import quiet
from honed.bench.agreement import Agreement, AgreementError
from honed.bench.contender import Skipped
from honed.bench.peers import PEERS
from honed.bench.workload import Workload
from honed.cli.main import make_app
from honed.errors import ParameterError

WORKLOAD = Workload(prompt_tokens=8, new_tokens=6, threads=1, runs=2)


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "v")], check=True)
    monkeypatch.setattr(fake_peer, "interpreter", str(tmp_path / "v" / "bin" / "python"))
    monkeypatch.setenv("PYTHONPATH", str(Path(fake_peer.__file__).parent))
    # Whoever runs tests does other things meanwhile.
    monkeypatch.setattr(quiet, "NOTICED", 1000.0)
    for kind in ("fair", "handicapped", "toolless", "broken", "absent", "uninstallable"):
        monkeypatch.setitem(PEERS, kind, ("fake_peer:FakePeer", kind))


def test_each_adapter_beside_its_tool(tiny_llama: Path, fakes: None) -> None:
    told: list[str] = []
    found = check_peers(
        [str(tiny_llama)],
        [WORKLOAD],
        against=["handicapped,toolless,broken,absent,uninstallable"],
        progress=lambda done, total, label: told.append(label),
    )
    # A step of the slow variant is 20 ms: no hiccup of this machine hides a factor of four.
    late = next(item for item in found if isinstance(item, Agreement) and item.contender.variant == "late")
    assert late.behind == ["prefill", "decode"]
    assert 0.15 < late.decode.ratio.median < 0.5
    assert len(late.decode.adapter) == len(late.decode.tool) == 2
    reasons = {item.system: item.reason for item in found if isinstance(item, Skipped)}
    assert reasons == {
        "toolless": "fake has no benchmark of its own",
        "broken": "fake-bench: no such option",
        "absent": "not on this machine",
        "uninstallable": "fake cannot be installed: ERROR: no such thing",
    }
    assert [item.system for item in found if isinstance(item, Skipped)].count("toolless") == 1, "once, not for each way"
    assert "handicapped late beside fake-bench, run 2 of 2" in told


def test_command_prints_writes_and_fails_where_an_adapter_is_behind(
    tiny_llama: Path, fakes: None, tmp_path: Path
) -> None:
    out, page = tmp_path / "r.json", tmp_path / "r.md"
    small = ["--prompt-tokens", "8", "--new-tokens", "6", "--threads", "1", "--runs", "1"]
    command = ["bench", str(tiny_llama), *small, "--check-peers", "--against"]
    done = CliRunner().invoke(make_app(), [*command, "handicapped", "--out", str(out), "--page", str(page)])
    assert isinstance(done.exception, AgreementError)
    assert "BEHIND" in done.stdout
    rows = json.loads(out.read_text())["rows"]
    assert [(row["variant"], row["tool"], row["batch"]) for row in rows] == [
        ("quick", "fake-bench", 1),
        ("late", "fake-bench", 1),
    ]
    assert "BEHIND" in page.read_text()
    done = CliRunner().invoke(make_app(), [*command, "toolless", "--json"])
    assert json.loads(done.stdout)["rows"][0]["not_compared"] == "fake has no benchmark of its own"
    assert isinstance(done.exception, AgreementError), "nothing was compared"


def test_everything_is_every_adapter_once() -> None:
    assert sorted(EVERYTHING) == sorted(PEERS)


def test_refusals(tiny_llama: Path) -> None:
    with pytest.raises(ParameterError, match="at least one model"):
        check_peers([], [WORKLOAD])
    with pytest.raises(ParameterError, match="against = 'x'"):
        check_peers([str(tiny_llama)], [WORKLOAD], against=["x"])
