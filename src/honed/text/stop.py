"""Stop strings in a stream of text. Not here: stop tokens, which the engine knows.

The automaton is that of Aho and Corasick (1975): its depth after a character is the length of the longest suffix of
the text that begins some stop string, which is exactly what has to be withheld.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from honed.errors import ParameterError


@dataclass
class _Node:
    depth: int
    next: dict[str, _Node] = field(default_factory=dict)
    fail: _Node | None = None
    match: int = 0
    """Length of the longest stop string that ends here; 0 if none does."""


def _automaton(stops: Sequence[str]) -> _Node:
    root = _Node(0)
    for stop in stops:
        node = root
        for character in stop:
            node = node.next.setdefault(character, _Node(node.depth + 1))
        node.match = len(stop)
    queue = deque(root.next.values())
    for child in queue:
        child.fail = root
    while queue:
        node = queue.popleft()
        for character, child in node.next.items():
            child.fail = _follow(node.fail, character) or root
            child.match = child.match or child.fail.match
            queue.append(child)
    return root


def _follow(node: _Node | None, character: str) -> _Node | None:
    """The node for the longest suffix that goes on with `character`; None if no suffix does."""
    while node is not None:
        if (following := node.next.get(character)) is not None:
            return following
        node = node.fail
    return None


class StopMatcher:
    """Cuts a text before the first stop string, wherever the borders of the pieces fall.

    First is the one that ends first; of several that end at the same character, the longest.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        """An empty stop string would end every text: ParameterError."""
        if "" in stops:
            raise ParameterError("stop", list(stops), "a stop string must not be empty")
        self._root = _automaton(stops)
        self._node = self._root
        self._withheld = ""
        self.matched: str | None = None
        """The stop string that was found."""

    def feed(self, text: str) -> str:
        """Text that is certain not to belong to a stop string; nothing more once one has been found."""
        if self.matched is not None:
            return ""
        text = self._withheld + text
        for index in range(len(self._withheld), len(text)):
            self._node = _follow(self._node, text[index]) or self._root
            if self._node.match:
                end = index + 1
                self.matched = text[end - self._node.match : end]
                self._withheld = ""
                return text[: end - self._node.match]
        sure = len(text) - self._node.depth
        self._withheld = text[sure:]
        return text[:sure]

    def finish(self) -> str:
        """The rest, which only looked like the beginning of a stop string."""
        rest, self._withheld = self._withheld, ""
        return rest
