from __future__ import annotations

import pytest

from honed.backends.capacity import check_step_tokens, kv_pages
from honed.errors import ParameterError


def test_pages_cover_the_tokens() -> None:
    assert [kv_pages(tokens, 10) for tokens in (1, 32, 33)] == [1, 1, 2]
    assert kv_pages(None, 100) == 4
    assert kv_pages(None, 1 << 20) == 16384 // 32


@pytest.mark.parametrize("tokens", [0, -1, 1 << 40])
def test_a_capacity_out_of_range_is_refused(tokens: int) -> None:
    with pytest.raises(ParameterError, match="kv_tokens"):
        kv_pages(tokens, 100)
    with pytest.raises(ParameterError, match="step_tokens"):
        check_step_tokens(tokens)
