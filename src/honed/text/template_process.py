"""Chat templates rendered behind a fence (`text/fence.py`), with limits on time, memory and output.

Not here: what a template sees (`text/chat_template.py`) and the environment it runs in (`text/template_worker.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honed.errors import TemplateError
from honed.text.fence import Fence, FenceError

_JOB = Path(__file__).with_name("template_worker.py")


@dataclass(frozen=True)
class Limits:
    """What a rendering may take.

    seconds: wall time, after which the process is killed, whatever it does. characters: of the text.
    memory_bytes: beyond what the renderer itself takes; the kernel enforces it on Linux, elsewhere it is not bounded.
    """

    seconds: float = 5.0
    characters: int = 4_000_000
    memory_bytes: int = 256 << 20


class Renderer:
    """One process, started at the first use and replaced after a killing. Safe for threads."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        # JSON takes at most twelve bytes a character.
        reply_bytes = 12 * limits.characters + 65536
        self._fence = Fence(
            _JOB,
            seconds=limits.seconds,
            cpu_seconds=limits.seconds + 1,
            memory_bytes=limits.memory_bytes,
            reply_bytes=reply_bytes,
        )

    def render(self, template: str, variables: Mapping[str, Any]) -> str:
        """The rendered text. TemplateError says what the template did, or which limit it went over."""
        request = {"template": template, "variables": variables, "characters": self._limits.characters}
        try:
            reply, _ = self._fence.ask(request)
        except FenceError as error:
            happened = {
                "time": f"it took longer than {self._limits.seconds:g} s",
                "died": "the renderer died; the template needs too much memory or nests too deeply",
                "start": f"the renderer does not start: {error}",
            }
            raise TemplateError(f"chat template: {happened[error.what]}") from None
        if "text" in reply:
            return str(reply["text"])
        raise TemplateError(f"chat template: {reply['error']}")

    def close(self) -> None:
        """Ends the process."""
        self._fence.close()
