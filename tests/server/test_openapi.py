"""Random requests by /openapi.json: no 5xx, and no reply that its schema does not allow (schemathesis)."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.result import Ok

from running_server import RunningServer
from scripted_model import scripted_model

NAMES = ("not_a_server_error", "response_schema_conformance", "status_code_conformance", "content_type_conformance")
EXAMPLES = 20


@pytest.mark.slow
@pytest.mark.parametrize("examples", [EXAMPLES, pytest.param(15 * EXAMPLES, marks=pytest.mark.thorough)])
def test_every_route_keeps_its_schema(examples: int) -> None:
    load_all_checks()
    checks: Any = [CHECKS.get_one(name) for name in NAMES]
    tried = 0

    with RunningServer({"scripted": lambda: scripted_model({"x": "the fox"})[0]}) as server:
        with server.client() as http:
            document = http.get("/openapi.json").json()
        schema = schemathesis.openapi.from_dict(document)
        schema.config.update(base_url=server.url)
        for found in schema.get_all_operations():
            assert isinstance(found, Ok)
            operation = found.ok()

            @settings(
                max_examples=examples,
                deadline=None,
                derandomize=True,
                database=None,
                phases=(Phase.explicit, Phase.generate),
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy())
            def ask(case: Any) -> None:
                nonlocal tried
                tried += 1
                if isinstance(case.body, dict) and "model" in case.body:
                    case.body["model"] = "scripted"  # or all that is tried is that there is no other
                case.call_and_validate(checks=checks, timeout=30)

            ask()
    assert tried > 10 * examples
