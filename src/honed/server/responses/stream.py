"""A response as a stream of events. Not here: which events there are (`output.py`)."""

from __future__ import annotations

from collections.abc import Callable

from honed.server.errors import Fault
from honed.server.exchange import Delta, Ended, Quiet
from honed.server.frames import event
from honed.server.responses.output import Output
from honed.server.stream import COMMENT


class ResponsesWriter:
    """Writes the events of an `Output`."""

    def __init__(self, output: Output, ended: Callable[[], None]) -> None:
        """ended: called when all of the response is there."""
        self._output = output
        self._ended = ended

    def write(self, delta: Delta) -> bytes:
        """See `writer.Writer`."""
        if isinstance(delta, Quiet) and delta.comment:
            return COMMENT
        events = self._output.take(delta)
        if isinstance(delta, Ended):
            self._ended()
        return b"".join(event(one["type"], one) for one in events)

    def fail(self, fault: Fault) -> bytes:
        """See `writer.Writer`."""
        return b"".join(event(one["type"], one) for one in self._output.fail(fault))
