from __future__ import annotations

from typing import Any, get_args

import pytest

from honed.backends import interpreter_ops
from honed.backends.interpreter_ops import run_op
from honed.errors import PlanError
from honed.plan import lowered_ops as low


def test_every_op_of_a_lowered_plan_has_a_function() -> None:
    assert set(interpreter_ops._FUNCTIONS) == set(get_args(low.PlanOp))


def test_an_op_without_one_is_named() -> None:
    class OddOp: ...

    op: Any = OddOp()
    step: Any = None
    with pytest.raises(PlanError, match=r"OddOp: has no function in backends/interpreter_ops\.py"):
        run_op(op, step)
