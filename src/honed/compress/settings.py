"""What the settings of every pass are: frozen values that are read strictly and refuse unknown keys.

Not here: the settings of any pass, which stand in its file with their ranges and checks.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Part of a recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class PassSettings(Settings):
    """Those of one pass. Each pass narrows `kind` to its own name. needs_encoding: it says how layers are to be stored,
    and means nothing without a pass behind it that stores them."""

    needs_encoding: ClassVar[bool] = False

    kind: Annotated[str, Field(alias="pass")]
