from __future__ import annotations

import pytest

from honed.backends.capacity import check_step_tokens, kv_pages, seen_keys
from honed.errors import ParameterError
from honed.models.recorded import recorded
from honed.models.registry import read_model
from tiny_models import golden


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


@pytest.mark.parametrize(("family", "seen"), [("mistral", 7), ("llama2", None), ("qwen2_sliding", None)])
def test_keys_that_are_seen(family: str, seen: int | None) -> None:
    """Of qwen2_sliding one layer of two sees all."""
    model = read_model(golden(family).checkpoint.config)
    assert seen_keys(recorded(model)) == seen
