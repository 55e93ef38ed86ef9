from __future__ import annotations

import math

import numpy as np

from honed.runtime.exponential import exp_nonpositive, log_positive


def test_relative_error_is_under_1e_15() -> None:
    x = -np.concatenate([np.linspace(0, 50, 20011), np.linspace(50, 700, 5003), [1e-300, 2.0**-60]])
    np.testing.assert_allclose(exp_nonpositive(x), np.exp(x), rtol=1e-15)


def test_ends() -> None:
    assert exp_nonpositive(np.array([0.0, -0.0, -700.5, -1e308])).tolist() == [1.0, 1.0, 0.0, 0.0]


def test_known_bits() -> None:
    """The result is part of what a seed means, so its bits are written down."""
    found = [value.hex() for value in exp_nonpositive(np.array([-1.0, -0.1, -10.0])).tolist()]
    assert found == ["0x1.78b56362cef38p-2", "0x1.cf46d99d52b3ap-1", "0x1.7cd79b5647c9ap-15"]


def test_the_logarithm_is_that_of_the_library_but_for_the_last_bits() -> None:
    x = [*np.geomspace(1, 1e300, 5003).tolist(), *np.linspace(1, 3, 5003).tolist(), 2.0**0.5, 2.0**31]
    for value in x:
        expected = math.log(value)
        assert abs(log_positive(value) - expected) <= 1e-15 * max(1, expected)


def test_known_bits_of_the_logarithm() -> None:
    found = [log_positive(value).hex() for value in (1.0, 2.0, 10.0, 49152.0)]
    assert found == ["0x0.0p+0", "0x1.62e42fefa39efp-1", "0x1.26bb1bbb55516p+1", "0x1.59af7ee709313p+3"]
