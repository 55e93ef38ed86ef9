"""Settings of a server that cannot be, and hosts that are this machine."""

from __future__ import annotations

from typing import Any

import pytest

from honed.errors import ParameterError
from honed.server.settings import ServerSettings, is_loopback


@pytest.mark.parametrize(
    "given",
    [
        {"port": -1},
        {"max_body": 1},
        {"max_waiting": 0},
        {"drain_timeout": -1},
        {"queue_timeout": 0},
        {"idle_unload": 0},
        {"memory_limit": 0},
        {"api_keys": ("short",)},
        {"api_keys": ("with space inside",)},
        {"api_keys": ("schlüssel-lang",)},
        {"cors_origins": ("example.org",)},
        {"cors_origins": ("https://example.org/path",)},
    ],
)
def test_out_of_range(given: dict[str, Any]) -> None:
    with pytest.raises(ParameterError) as caught:
        ServerSettings(**given)
    assert "with space inside" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("localhost", True),
        ("LOCALHOST", True),
        ("[::1]", True),
        ("x.localhost", True),
        ("0.0.0.0", False),
        ("192.168.1.2", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
    ],
)
def test_loopback(host: str, own: bool) -> None:
    assert is_loopback(host) is own
