from __future__ import annotations

import asyncio

import pytest

from fake_server import fake_server
from honed.bench.load.connection import Address, ServerError
from honed.bench.load.drive import Measured, drive, model_of
from honed.bench.load.plan import LoadPlan


def run(url: str, plan: LoadPlan, key: str | None = None) -> Measured:
    return asyncio.run(drive(Address.of(url), plan, "fake", key=key))


@pytest.mark.parametrize("kind", ["completions", "chat"])
def test_whole_requests_are_timed_and_counted(kind: str) -> None:
    with fake_server() as (url, asked):
        plan = LoadPlan(kind=kind, requests=6, streams=3, prompt_tokens=40, new_tokens=5)
        measured = run(url, plan, "secret")
    assert len(measured.outcomes) == 6
    for outcome in measured.outcomes:
        assert outcome.error is None and outcome.status == 200
        assert len(outcome.pieces) == outcome.new_tokens == 5
        assert outcome.sent + 0.02 <= outcome.pieces[0] <= outcome.pieces[-1] <= outcome.ended
        # Two tokens a word: the first answer taught it. The number of the request is a word more.
        assert outcome.prompt_tokens == 42
        assert outcome.cached_tokens == 4
    assert {request["path"] for request in asked} == {plan.route}
    assert {request["key"] for request in asked} == {"Bearer secret"}
    assert measured.client_seconds > 0


def test_some_are_broken_off_and_some_are_invalid() -> None:
    with fake_server() as (url, _):
        plan = LoadPlan(requests=40, streams=8, prompt_tokens=8, new_tokens=6, cancel=0.3, invalid=0.3)
        outcomes = run(url, plan).outcomes
    assert [outcome.error for outcome in outcomes] == [None] * 40
    assert {outcome.fate: outcome.status for outcome in outcomes} == {"whole": 200, "cancel": 200, "invalid": 400}
    assert all(len(outcome.pieces) == 3 for outcome in outcomes if outcome.fate == "cancel")


def test_arrivals_wait_for_nobody() -> None:
    with fake_server(first_s=0.3) as (url, _):
        plan = LoadPlan(requests=10, streams=10, rate=100.0, prompt_tokens=8, new_tokens=2)
        outcomes = run(url, plan).outcomes
    assert max(outcome.sent for outcome in outcomes) < min(outcome.ended for outcome in outcomes)


def test_a_server_that_fails_is_told_of() -> None:
    with fake_server(fails=True) as (url, _):
        outcomes = run(url, LoadPlan(requests=2, prompt_tokens=8, new_tokens=3)).outcomes
    assert all(outcome.error and "status 500" in outcome.error for outcome in outcomes)


def test_one_that_is_not_there_is_named() -> None:
    with pytest.raises(ServerError, match=r"127\.0\.0\.1:1 cannot be reached"):
        run("http://127.0.0.1:1", LoadPlan(requests=1))


def test_the_first_model_is_taken() -> None:
    with fake_server() as (url, _):
        assert asyncio.run(model_of(Address.of(url), None)) == "fake"
