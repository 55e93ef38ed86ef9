"""What a metric is: a number made of examples, each of which may count any number of times.

The bootstrap draws examples with replacement, so that a metric which knows how often each was drawn gives all resamples
at once: `Measured.of` takes weights [resamples, n] and gives values [resamples]. Nearly every metric is a function of
sums over examples (`additive`); areas under curves and rank correlations take the weights themselves. Not here: the
metrics, one file a family, and what is made of resamples (`evaluate/resample.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honed.errors import HonedError

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

EXTRA = "honed[evaluate]"


@dataclass(frozen=True)
class MetricOptions:
    """What the value of some metrics depends on, as a task file says it.

    positive: the label that curves and areas are of, where there are two; None: the last in alphabetical order.
    scheme: of tags of entities, iob2 or bioes, whose malformed sequences hold no entity; None reads any sequence as
    the CoNLL evaluation does. tokenize: how BLEU cuts a text (a name of sacrebleu's). stemmer: whether ROUGE compares
    stems (English).
    """

    positive: str | None = None
    scheme: str | None = None
    tokenize: str | None = None
    stemmer: bool = False


@dataclass(frozen=True)
class Measured:
    """A metric of one model over n examples.

    of: weights [resamples, n], how often each example counts, to values [resamples]; NaN where there is none.
    each: a score for each example [n] by which examples are put in order, higher is better; None where a single
    example has none. right: whether each example is right [n], of metrics that say so, for McNemar's test.
    """

    of: Callable[[Float64], Float64]
    n: int
    each: Float64 | None = None
    right: Bool | None = None

    @property
    def value(self) -> float:
        """Of all examples, each once."""
        return float(self.of(np.ones((1, self.n)))[0])


@dataclass(frozen=True)
class Metric:
    """A metric by its name. measure: references and predictions, an entry an example, to what was measured.

    higher: whether more is better. bounded: whether it is a fraction, which reports show in per cent.
    """

    name: str
    measure: Callable[[Sequence[Any], Sequence[Any], MetricOptions], Measured]
    higher: bool = True
    bounded: bool = True


def additive(
    parts: Float64, value: Callable[[Float64], Float64], each: Float64 | None = None, right: Bool | None = None
) -> Measured:
    """A metric that is a function of sums: parts [n, k] of each example, `value` of sums [resamples, k]."""
    return Measured(lambda weights: value(weights @ parts), len(parts), each, right)


def mean(each: Float64, right: Bool | None = None) -> Measured:
    """The mean over examples [n]."""
    return additive(
        np.stack([each, np.ones(len(each))], axis=1), lambda sums: ratio(sums[:, 0], sums[:, 1]), each, right
    )


def ratio(above: Float64, below: Float64, otherwise: float = 0.0) -> Float64:
    """above / below, and `otherwise` where below is 0."""
    found: Float64 = np.divide(above, below, out=np.full(np.broadcast(above, below).shape, otherwise), where=below != 0)
    return found


def needs_extra(what: str, library: str) -> HonedError:
    """The error of a metric whose library is not installed."""
    return HonedError(f"{what} needs {library}: pip install '{EXTRA}'")


def counted(rows: Sequence[Mapping[str, int]], names: Sequence[str]) -> Float64:
    """Counts by name as an array [n, names]."""
    place = {name: i for i, name in enumerate(names)}
    found = np.zeros((len(rows), len(names)))
    for row, counts in zip(found, rows, strict=True):
        for name, count in counts.items():
            row[place[name]] = count
    return found
