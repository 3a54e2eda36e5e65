"""The cheapest set of float layers that holds a budget, found by measuring as few sets as it takes.

The search knows no model: it is given what each layer costs and adds, and a way to measure a set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from edgebench.artifact import MixedTrial

MOST_TRIALS = 32
"""More than a bisection over a thousand layers and taking back each of a dozen need."""
_ROUNDING = 1e-9
"""Of a drop: 7 of 1,000 samples are 0.7 points, though 7/1000 is more than 0.7/100 in binary."""
_LEAST_SHARE = 1e-6
"""Of a layer so small that it costs nothing."""


@dataclass(frozen=True, slots=True)
class RankedLayer:
    """A layer that may stay float. tensor: its name. share: of the model's multiplications, 0–1.

    noise: error power over signal power of the model's answers where only this layer is int8.
    """

    tensor: str
    share: float
    noise: float


@dataclass(frozen=True, slots=True)
class Found:
    """The trials in their order, and the one to take: the cheapest that holds, else the best."""

    trials: tuple[MixedTrial, ...]
    best: MixedTrial
    held: bool


Measure = Callable[[tuple[str, ...]], MixedTrial]


def search(
    ranked: Callable[[], Sequence[RankedLayer]],
    measure: Measure,
    *,
    allowed: float,
    most_share: float,
    most_trials: int = MOST_TRIALS,
) -> Found:
    """Return the cheapest set of float layers whose drop is at most `allowed`.

    ranked: asked only where all in int8 does not hold. measure: a set of tensors as a trial. most_share:
    of the multiplications that may be float. The layers that add most noise for their cost are taken,
    by bisection as many as it needs; then those that turn out not to be needed are taken back.
    """
    trials = _Trials(measure, allowed, most_trials)
    if not trials.holds(()):
        layers = ranked()
        for order in _orders(layers):
            kept = _fitting(order, most_share)
            if kept and trials.holds(_names(kept)):
                _take_back(_shortest(kept, trials), trials)
                break
    return trials.found()


@dataclass(slots=True)
class _Trials:
    measure: Measure
    allowed: float
    most: int
    made: dict[frozenset[str], MixedTrial] = field(default_factory=dict)

    def holds(self, floats: Sequence[str]) -> bool:
        """Whether a set holds; one that there is no trial left for does not."""
        key = frozenset(floats)
        if key not in self.made:
            if len(self.made) >= self.most:
                return False
            self.made[key] = self.measure(tuple(floats))
        return self._within(self.made[key])

    def _within(self, trial: MixedTrial) -> bool:
        return trial.drop <= self.allowed + _ROUNDING

    def found(self) -> Found:
        """Return the cheapest trial that holds; where none does, the one that loses least."""
        trials = tuple(self.made.values())
        holding = [trial for trial in trials if self._within(trial)]
        if holding:
            return Found(
                trials, min(holding, key=lambda t: (t.float_share, len(t.floats), t.drop)), held=True
            )
        return Found(trials, min(trials, key=lambda t: (t.drop, t.float_share)), held=False)


def _orders(layers: Sequence[RankedLayer]) -> Iterator[list[RankedLayer]]:
    """Yield the layers by noise for their cost; then by noise alone, which lets a large one in."""
    yield sorted(layers, key=lambda layer: -layer.noise / max(layer.share, _LEAST_SHARE))
    yield sorted(layers, key=lambda layer: -layer.noise)


def _fitting(order: Sequence[RankedLayer], most_share: float) -> list[RankedLayer]:
    """Return the layers that are within the share together, each taken in turn where it still fits."""
    kept: list[RankedLayer] = []
    for layer in order:
        if sum(other.share for other in kept) + layer.share <= most_share + _LEAST_SHARE:
            kept.append(layer)
    return kept


def _shortest(kept: Sequence[RankedLayer], trials: _Trials) -> list[RankedLayer]:
    """Return the fewest first layers that hold, found by bisection; all of them do, and none does not."""
    fails, holds = 0, len(kept)
    while holds - fails > 1:
        middle = (fails + holds) // 2
        if trials.holds(_names(kept[:middle])):
            holds = middle
        else:
            fails = middle
    return list(kept[:holds])


def _take_back(kept: list[RankedLayer], trials: _Trials) -> None:
    """Try without parts of the layers, half of them at first and single ones in the end."""
    kept = sorted(kept, key=lambda layer: layer.noise)
    size = len(kept) // 2
    while size:
        start = 0
        while start < len(kept) and len(kept) > 1:
            rest = kept[:start] + kept[start + size :]
            if rest and trials.holds(_names(rest)):
                kept = rest
            else:
                start += size
        size //= 2


def _names(layers: Sequence[RankedLayer]) -> tuple[str, ...]:
    return tuple(sorted(layer.tensor for layer in layers))
