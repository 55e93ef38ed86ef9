"""The only door to the native extension."""

from __future__ import annotations

from honed.errors import NativeError

try:
    from honed import _native as extension
except ImportError as error:  # pragma: no cover - a broken installation
    raise NativeError(
        f"the native extension is missing or does not load ({error}); "
        "reinstall it with: pip install --force-reinstall honed"
    ) from error

__all__ = ["extension"]
