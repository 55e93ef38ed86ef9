"""Guesses at the next tokens of a sequence from where its last ones stood before (prompt lookup, Saxena 2023).

The index grows with the sequence: a look-up by the last two tokens, and for each position the one before it that
follows the same two. A guess that came true is followed on without a look-up. Not here: how many of the guesses are
tried (`speculation.py`).
"""

from __future__ import annotations

from array import array

from honed.runtime.acceptance import LONGEST, Acceptance

_LOOKED_AT = 8
"""Earlier places that are compared for the longest agreement, the latest first."""

_AT_ONCE = 2048
"""Tokens that go into the index in one call: that of a long prompt is made over several steps, none of which it
delays by more than a millisecond or so."""


class PromptLookup:
    """Of one sequence. What it guesses has no meaning for any result."""

    def __init__(self, tokens: list[int], prompt: int, prior: Acceptance) -> None:
        """`tokens`: of the sequence, whose list this is: it may only be appended to. `prompt`: how many of them it
        began with, from which no acceptance is learned."""
        self._tokens = tokens
        self._prompt = prompt
        self._latest: dict[int, int] = {}
        """By two tokens, the position that follows their latest place."""
        self._earlier = array("i", (0, 0))
        """Of each position, the one before it that follows the same two tokens; 0: none."""
        self._source = 0
        """The position whose token is the guess; 0: there is none."""
        self._agreeing = 0
        self.acceptance = Acceptance(prior)

    def advance(self) -> bool:
        """Takes in what was appended since the last call. Whether there is a guess."""
        tokens, end = self._tokens, len(self._tokens)
        position = len(self._earlier)  # the next one that is to be indexed
        if position <= self._prompt:
            last = min(end, position + _AT_ONCE - 1)
            self._index(position, last)
            if last == end:
                self._find(end)
            position = last + 1
            if position <= end:
                return False
        for new in range(position, end + 1):
            self._learn(tokens[new - 1])
            self._index(new, new)
            if not self._source:
                self._find(new)
        return self._source > 0

    def rates(self, most: int, least: float) -> list[float]:
        """The probabilities that the first, the first two, ... of the guesses come true: `most` at most, and as far as
        they are `least` at least."""
        found: list[float] = []
        probability, rate = 1.0, self.acceptance.rate
        for agreeing in range(self._agreeing, self._agreeing + most):
            probability *= rate(agreeing)
            if probability < least:
                break
            found.append(probability)
        return found

    def guess(self, count: int) -> list[int]:
        """The next `count` tokens, if all goes on as it stood before. There must be a guess."""
        source, period = self._source, len(self._tokens) - self._source
        if count <= period:
            return self._tokens[source : source + count]
        # The end of the sequence repeats itself, and may go on to.
        repeated = self._tokens[source:]
        return [repeated[i % period] for i in range(count)]

    def _learn(self, token: int) -> None:
        if self._source:
            came_true = self._tokens[self._source] == token
            self.acceptance.note(self._agreeing, came_true)
            self._source = self._source + 1 if came_true else 0
            self._agreeing += 1

    def _index(self, first: int, last: int) -> None:
        tokens, latest, earlier = self._tokens, self._latest, self._earlier
        for position in range(first, last + 1):
            pair = tokens[position - 2] << 32 | tokens[position - 1]
            earlier.append(latest.get(pair, 0))
            latest[pair] = position

    def _find(self, end: int) -> None:
        """The earlier place with the longest agreement before it, the latest among equals."""
        tokens, place = self._tokens, self._earlier[end] if end < len(self._earlier) else 0
        self._source = self._agreeing = 0
        for _ in range(_LOOKED_AT):
            if not place:
                return
            agreeing = 2
            while (
                agreeing < LONGEST and agreeing < place and tokens[place - 1 - agreeing] == tokens[end - 1 - agreeing]
            ):
                agreeing += 1
            if agreeing > self._agreeing:
                self._source, self._agreeing = place, agreeing
            if agreeing == LONGEST:
                return
            place = self._earlier[place]
