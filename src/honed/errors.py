"""The one exception tree. Every error that a user can cause is a `HonedError` and reads as a sentence.

A message names the file, field or parameter, the value found, and what would be right. The command line prints
it without a traceback and exits with `exit_code`; anything that is not a `HonedError` is a fault of ours.
"""

from __future__ import annotations

from pathlib import Path


class HonedError(Exception):
    """Base of every expected error."""

    exit_code = 1


class ParameterError(HonedError):
    """A value given by the caller is out of its range or unknown."""

    exit_code = 2

    def __init__(self, parameter: str, value: object, expected: str) -> None:
        shown = repr(value)
        if len(shown) > 120:
            shown = shown[:117] + "..."
        super().__init__(f"{parameter} = {shown}: {expected}")
        self.parameter = parameter


class SourceError(HonedError):
    """A model name does not lead to files: unknown, missing, or not reachable offline."""


class FormatError(HonedError):
    """A file is malformed or lies about itself."""

    def __init__(self, path: Path | str, field: str, problem: str) -> None:
        super().__init__(f"{path}: {field}: {problem}")
        self.path = Path(path)
        self.field = field


class UnsupportedError(HonedError):
    """The file or request is well formed, but asks for something that is not supported."""


class ArtifactError(HonedError):
    """An artifact cannot be written or does not match its checksums."""


class PlanError(HonedError):
    """A plan failed verification, or a graph has no lowering: a fault of a model file or of the planner."""


class NativeError(HonedError):
    """The native extension is missing or refused what it was asked."""


class TemplateError(HonedError):
    """A chat template failed, took too long or wrote too much."""
