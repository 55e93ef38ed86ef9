"""Every target: what broke something before, and a few hundred mutated inputs, the same ones each time.

`make fuzz SECONDS=600 TARGET=gguf` searches on.
"""

from __future__ import annotations

import pytest

from fuzzing import registry
from fuzzing.engine import Reader, check_known, search

INPUTS = 250


@pytest.mark.parametrize("name", registry.names())
def test_no_input_does_harm(name: str) -> None:
    target = registry.find(name)
    with Reader(target) as reader:
        faults = check_known(target, reader)
        report = search(target, reader, seed=1, inputs=INPUTS // target.cost)
    assert [str(fault) for fault in [*faults, *report.faults]] == []
    assert report.accepted > 0
    assert report.shapes > 1, "the mutations reach nothing"
