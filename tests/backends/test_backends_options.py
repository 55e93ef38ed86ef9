"""What is wrong with options on every machine and for every model."""

from __future__ import annotations

from typing import Any

import pytest

from honed.backends.options import RunOptions, check_threads
from honed.errors import ParameterError


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"dtype": "floot32"}, "dtype = 'floot32': did you mean float32"),
        ({"kv": "int4"}, "kv = 'int4': did you mean int8. must be one of auto, float32, bfloat16, int8"),
        ({"threads": 0}, "threads = 0: must be from 1 to 1024"),
        ({"threads": True}, "threads = True: must be a whole number"),
        ({"isa": ""}, "isa = '': must be a text that is not empty"),
        ({"context": 1.5}, "context = 1.5: must be a whole number"),
        ({"sequences": 0}, "sequences = 0: must be from 1"),
        ({"sequences": 2}, "sequences = 2: needs a context"),
        ({"backend": "cuda"}, "backend = 'cuda': must be one of native, pytorch"),
        ({"backend": None}, "backend = None: must be one of native, pytorch"),
        (
            {"backend": "pytorch", "threads": 2},
            "is a setting of the native backend; leave it out for pytorch",
        ),
        ({"backend": "pytorch", "isa": "avx2"}, "isa = 'avx2': is a setting of the native backend"),
        (
            {"backend": "pytorch", "kv": "int8"},
            "kv = 'int8': the pytorch backend is the float32 reference, and takes auto and float32",
        ),
    ],
)
def test_what_is_wrong_is_named(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ParameterError, match=says):
        RunOptions(**given)


def test_the_machine_and_the_model_are_not_asked() -> None:
    assert RunOptions(isa="amx", context=1 << 30).isa == "amx"


def test_threads() -> None:
    assert (check_threads(None), check_threads(4)) == (None, 4)
    with pytest.raises(ParameterError, match="threads = 1025: must be from 1 to 1024"):
        check_threads(1025)
