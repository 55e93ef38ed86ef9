"""What was said in earlier responses, for requests that go on with one by its id (`previous_response_id`).

In memory only, and for the key that asked: nothing of it is on a disk, and nothing survives the server.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence

from honed.errors import ParameterError
from honed.server.fields import compact
from honed.server.request_body import Object

MOST_BYTES = 64 << 20
"""Of all that is kept; what was not used for the longest time goes first."""

ENTRY_BYTES = 512
"""Beside the items, of each response."""


class KeptResponses:
    """Items of conversations, by key and response. For one event loop."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        # As JSON: objects take many times what is counted here.
        self._held: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def keep(self, key: str, identifier: str, items: Sequence[Object]) -> None:
        """All items of a conversation up to a response. One that is too large for its share is not kept."""
        text = compact(items).encode(errors="surrogatepass")
        if len(text) > self._most // 4:
            return
        self._held[key, identifier] = text
        self._bytes += len(text) + ENTRY_BYTES
        while self._bytes > self._most:
            _, freed = self._held.popitem(last=False)
            self._bytes -= len(freed) + ENTRY_BYTES

    def items(self, key: str, identifier: str | None) -> list[Object]:
        """Those up to a response of this key; none without a response. One that is not kept: ParameterError."""
        if identifier is None:
            return []
        found = self._held.get((key, identifier))
        if found is None:
            raise ParameterError(
                "previous_response_id", identifier, "is not kept here, or not any more; send the whole input"
            )
        self._held.move_to_end((key, identifier))
        items: list[Object] = json.loads(found)
        return items
