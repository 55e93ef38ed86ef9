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
    match: str = ""
    """The longest stop string that ends here; empty if none does."""


def _automaton(stops: Sequence[str]) -> _Node:
    root = _Node(0)
    for stop in stops:
        node = root
        for character in stop:
            node = node.next.setdefault(character, _Node(node.depth + 1))
        node.match = stop
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

    First is the one that ends first; of several that end at the same character, the one that begins first. Control
    tokens that the text does not show count both ways: a stop string is found in the text as it is shown, and in the
    text with the control tokens written out (`skip`), and cuts what is shown before it began.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        """An empty stop string would end every text: ParameterError."""
        if "" in stops:
            raise ParameterError("stop", list(stops), "a stop string must not be empty")
        self._root = _automaton(stops)
        self._node = self._root
        """Of the text that is shown."""
        self._full: _Node | None = None
        """Of the text with what is hidden; None as long as both are the same."""
        self._trail: deque[bool] = deque(maxlen=max(map(len, stops), default=0))
        """Which of the last characters of the latter are shown."""
        self._withheld = ""
        self.matched: str | None = None
        """The stop string that was found."""

    def feed(self, text: str) -> str:
        """Text that is certain not to belong to a stop string; nothing more once one has been found."""
        if self.matched is not None:
            return ""
        text = self._withheld + text
        for index in range(len(self._withheld), len(text)):
            self._node = self._after(self._node, text[index])
            found, cut = self._node.match, len(self._node.match)
            if self._full is not None:
                self._trail.append(True)
                self._full = self._after(self._full, text[index])
                if (shown := self._shown(len(self._full.match))) > cut or (self._full.match and not found):
                    found, cut = self._full.match, shown
                if self._full is self._node and self._shown(self._node.depth) == self._node.depth:
                    self._full = None
            if found:
                return self._end(found, text[: index + 1 - cut])
        return self._keep(text)

    def skip(self, hidden: str) -> str:
        """Text that is certain, as of `feed`, after something that is not shown."""
        if self.matched is not None:
            return ""
        if self._full is None:
            self._full = self._node
            self._trail.clear()
            self._trail.extend([True] * self._node.depth)
        for character in hidden:
            self._trail.append(False)
            self._full = self._after(self._full, character)
            if self._full.match:
                cut = self._shown(len(self._full.match))
                return self._end(self._full.match, self._withheld[: len(self._withheld) - cut])
        return self._keep(self._withheld)

    def finish(self) -> str:
        """The rest, which only looked like the beginning of a stop string."""
        rest, self._withheld = self._withheld, ""
        return rest

    def _after(self, node: _Node, character: str) -> _Node:
        return _follow(node, character) or self._root

    def _shown(self, characters: int) -> int:
        """How many of so many last characters are shown."""
        return sum(self._trail[-index] for index in range(1, characters + 1))

    def _keep(self, text: str) -> str:
        depth = self._node.depth if self._full is None else max(self._node.depth, self._shown(self._full.depth))
        sure = len(text) - depth
        self._withheld = text[sure:]
        return text[:sure]

    def _end(self, found: str, text: str) -> str:
        self.matched = found
        self._withheld = ""
        return text
