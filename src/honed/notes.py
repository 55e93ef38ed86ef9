"""What a user should know of a file that is used all the same: a setting that was ignored, tensors that nobody needs.

`note` goes by way of Python's warnings, so a program decides with their filters whether it wants to hear of it, and the
command line shows each as one line. Not here: what is refused (`errors.py`), and what a run reports of itself.
"""

from __future__ import annotations

from honed.errors import plain, shortened

__all__ = ["HonedWarning", "note"]


class HonedWarning(UserWarning):
    """Something was ignored, clamped or read in the likelier of two ways; the text is one safe line."""


def note(text: str) -> None:
    """Warns in one sentence: file and field, what was found, what was made of it. Made safe for a terminal here."""
    import warnings  # a start that has nothing to say does without

    warnings.warn(HonedWarning(shortened(plain(text))), stacklevel=2)
