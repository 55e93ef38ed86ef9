"""Adapters beside tools, without processes: what is called in which order, and what is made of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from honed.bench import agreement, quiet
from honed.bench.agreement import (
    Agreement,
    AgreementError,
    Speeds,
    WithoutTool,
    agreement_json,
    compare_all,
    require_agreement,
)
from honed.bench.agreement_table import HEADER, agreement_cells, agreement_page
from honed.bench.contender import Contender, Skipped
from honed.bench.measure import Sample
from honed.bench.peers.base import Footprint, PeerError
from honed.bench.peers.own_tool import NoTool, OwnTool
from honed.bench.workload import Workload

WORKLOAD = Workload(prompt_tokens=100, new_tokens=11, threads=2, runs=3, batch=2)
SAMPLE = Sample(
    load_s=1.0,
    start_to_first_token_s=1.5,
    prefill_s=2.0,
    decode_s=0.5,
    decoded=20,
    peak_rss_bytes=1,
    isa=None,
    dtype="q",
    footprint=Footprint(1, 1, 1, 1, "other"),
    decode_position=105.0,
    positions=220,
)


def contender(system: str, variant: str = "", workload: Workload = WORKLOAD) -> Contender:
    return Contender(system, "m", "x:open", {}, ((1,), (2,)), None, workload, variant=variant)


def tool(name: str) -> OwnTool:
    return OwnTool(name, "x:measure", {"name": name}, interpreter="/peer/python", environment={"A": "b"})


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Both sides faked: adapters decode 40 tokens a second, a tool as many as its name says. In the order of calls."""
    calls: list[str] = []

    def measure_once(contender: Contender) -> Sample:
        calls.append(contender.system)
        if contender.system == "broken":
            raise PeerError("it broke")
        return SAMPLE

    def call_isolated(function: str, arguments: Mapping[str, Any], **how: Any) -> Any:
        assert (function, how["interpreter"], how["environment"]) == ("x:measure", "/peer/python", {"A": "b"})
        calls.append(arguments["name"])
        return {"prefill_tok_s": 100.0, "decode_tok_s": float(arguments["name"])}

    monkeypatch.setattr(quiet, "read", lambda: None)
    monkeypatch.setattr(agreement, "measure_once", measure_once)
    monkeypatch.setattr(agreement, "call_isolated", call_isolated)
    return calls


def test_sides_take_turns_and_so_does_who_is_first(called: list[str]) -> None:
    first, second = compare_all([(contender("a"), tool("41")), (contender("b"), tool("50"))])
    assert called == ["a", "41", "b", "50", "41", "a", "50", "b", "a", "41", "b", "50"]
    assert isinstance(first, Agreement)
    assert isinstance(second, Agreement)
    assert first.prefill == Speeds((100.0,) * 3, (100.0,) * 3)
    assert first.decode == Speeds((40.0,) * 3, (41.0,) * 3)
    assert (first.behind, second.behind) == ([], ["decode"])


def disturbed(monkeypatch: pytest.MonkeyPatch, *shares: float) -> None:
    """Other processes take these shares of a CPU in the runs that follow, the last one in all further ones."""
    left = list(shares)
    monkeypatch.setattr(quiet, "taken_by_others", lambda *_: left.pop(0) if len(left) > 1 else left[0])


def test_run_that_others_disturbed_is_made_again(called: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    disturbed(monkeypatch, 0.8, 0.0, 0.3, 0.0)
    (found,) = compare_all([(contender("a"), tool("41"))])
    assert isinstance(found, Agreement)
    assert len(found.decode.adapter) == len(found.decode.tool) == 3
    assert called.count("a") == called.count("41") == 5


def test_machine_that_is_never_quiet_judges_nobody(called: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    disturbed(monkeypatch, 0.5, 1.25, 0.7)
    (found,) = compare_all([(contender("a"), tool("80"))])
    assert isinstance(found, Skipped)
    assert found.reason == "the machine is not quiet: other processes took 0.5 to 1.2 CPUs in 12 runs"
    assert called.count("a") == 12


@pytest.mark.parametrize(
    ("adapter", "own", "verdict"),
    [
        ((95.1, 95.1, 10.0), (100.0, 100.0, 100.0), "agrees"),
        ((94.9, 94.9, 90.0), (100.0, 100.0, 100.0), "behind"),
        # One good run does not hide two bad ones, and one bad run of the tool's is none of the adapter's.
        ((80.0, 100.0, 90.0), (100.0, 90.0, 100.0), "behind"),
        ((98.0, 98.0, 98.0), (100.0, 100.0, 120.0), "agrees"),
        ((120.0, 120.0, 100.0), (100.0, 100.0, 118.0), "ahead"),
        ((104.9,), (100.0,), "agrees"),
        ((105.1,), (100.0,), "ahead"),
        # Run by run: a machine that was twice as fast in one run says nothing.
        ((50.0, 100.0, 200.0), (50.0, 100.0, 200.0), "agrees"),
    ],
)
def test_verdict_is_that_of_the_median_ratio(adapter: tuple[float, ...], own: tuple[float, ...], verdict: str) -> None:
    assert Speeds(adapter, own).verdict == verdict


def test_what_fails_or_has_no_tool_is_told_and_the_others_go_on(called: list[str]) -> None:
    found = compare_all(
        [(contender("broken"), tool("40")), (contender("none"), NoTool("has none")), (contender("good"), tool("40"))]
    )
    assert [item.reason if isinstance(item, Skipped) else item.behind for item in found] == ["it broke", "has none", []]
    assert called.count("broken") == 1
    assert "none" not in called


def test_tool_that_says_nonsense_is_no_measurement(called: list[str]) -> None:
    for said in ("0", "nan", "-1", "inf"):
        (found,) = compare_all([(contender("a"), tool(said))])
        assert isinstance(found, Skipped), said
        assert "tokens a second" in found.reason


def test_handicap_ends_in_an_error_that_names_it(called: list[str]) -> None:
    good, bad = compare_all([(contender("a"), tool("40")), (contender("b", "slow way"), tool("80"))])
    require_agreement([good])
    with pytest.raises(AgreementError, match=r"^over 5% .*: b slow way \(100 .*\): decode 0\.50$") as raised:
        require_agreement([good, bad])
    assert raised.value.exit_code == 1
    require_agreement([good, WithoutTool("c", "m", "has none")])
    with pytest.raises(AgreementError, match="there was nothing to compare"):
        require_agreement([WithoutTool("c", "m", "has none")])
    with pytest.raises(AgreementError, match=r"^not compared: c: the machine is not quiet$"):
        require_agreement([good, Skipped("c", "m", "the machine is not quiet")])


def test_as_json_and_text(called: list[str]) -> None:
    alone = replace(WORKLOAD, batch=1)
    found = compare_all(
        [
            (contender("a", "way"), tool("30")),
            (contender("b", workload=alone), tool("80")),
            (contender("c"), NoTool("has none")),
        ]
    )
    value = json.loads(json.dumps(agreement_json(found)))
    assert value["tolerance"] == 0.05
    assert value["machine"]["features"]["instruction_sets"] is not None
    assert value["rows"][0]["decode"]["verdict"] == "ahead"
    assert value["rows"][1]["decode"]["tool_tok_s"] == [80.0] * 3
    assert value["rows"][2] == {"system": "c", "model": "m", "not_compared": "has none"}
    cells = agreement_cells(found)
    assert {len(row) for row in cells} == {len(HEADER)}
    assert [row[:3] for row in cells] == [
        ["a, way, 30", "100 + 11, 2 together", "prefill"],
        ["a, way, 30", "100 + 11, 2 together", "decode"],
        ["b, 80", "100 + 11", "prefill"],
        ["b, 80", "100 + 11", "decode"],
        ["c", "100 + 11, 2 together", "not compared: has none"],
    ]
    assert [row[-1].split(":")[0] for row in cells] == ["agrees", "ahead", "BEHIND", "BEHIND", ""]
    text = agreement_page(found, "Title")
    assert text.startswith("# Title\n\nMachine: ")
    assert "| 0.500 (0.500 to 0.500) |" in text
