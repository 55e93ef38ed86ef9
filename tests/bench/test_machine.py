from __future__ import annotations

import json
import platform

from honed.bench.machine import machine, machine_line


def test_machine_is_its_instruction_sets_and_never_its_name() -> None:
    found = machine()
    text = json.dumps(found) + machine_line(found)
    assert platform.node() not in text
    assert found["features"]["instruction_sets"] == machine_line(found).split(", ")[1].split()
    assert found["versions"]["honed"]


def test_line_of_a_report_from_elsewhere() -> None:
    assert machine_line({}) == "unknown, no further instruction sets, ? CPUs"
