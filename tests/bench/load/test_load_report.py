from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honed.bench.load.drive import Measured, Outcome
from honed.bench.load.plan import LoadPlan
from honed.bench.load.report import Percentiles, cells, lines, report


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50))
def test_percentiles_are_those_of_numpy(values: list[float]) -> None:
    found = Percentiles.of(values)
    assert found is not None
    expected = np.percentile(values, [50, 90, 95, 99])
    assert [found.p50, found.p90, found.p95, found.p99] == pytest.approx(list(expected))
    assert found.most == max(values)


def test_rates_and_times_are_those_of_whole_requests() -> None:
    whole = Outcome("whole", 1.0, 200, [1.5, 1.6, 1.8], 2.0, prompt_tokens=10, cached_tokens=5, new_tokens=3)
    broken = Outcome("cancel", 1.0, 200, [1.1], 1.2)
    refused = Outcome("invalid", 1.0, 400, [], 1.1)
    failed = Outcome("whole", 1.0, 500, [], 1.1, error="status 500")
    plan = LoadPlan(requests=4)
    found = report(plan, "m", Measured([whole, broken, refused, failed], seconds=2.0, client_seconds=0.5))
    assert (found.finished, found.cancelled, found.refused, found.failed) == (1, 1, 1, 1)
    assert found.tokens_per_second == 2.0
    assert found.cached_share == 0.5 and found.client_share == 0.25
    assert found.first_token is not None and found.first_token.p50 == pytest.approx(0.5)
    assert found.inter_token is not None and found.inter_token.most == pytest.approx(0.2)
    assert found.per_token is not None and found.per_token.p50 == pytest.approx(0.15)
    assert found.end_to_end is not None and found.end_to_end.p99 == pytest.approx(1.0)
    assert cells(found)[0][:2] == ["time to first token", "500.0 ms"]
    assert lines(found)[-1] == "failed: status 500"
    assert report(plan, "m", Measured([], 0.0, 0.0)).first_token is None
