"""From a distribution per window to a label that stands still: smoothing, hysteresis, silence. No audio, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sercli.runtime.prediction import UNCERTAIN

MARGIN = 0.05  # of probability: a new label must be so much more likely than the one that stands


@dataclass(frozen=True)
class Rules:
    """How claims follow from distributions."""

    classes: tuple[str, ...]
    """what probabilities are given for"""
    threshold: float
    """a smoothed probability below it is "uncertain"; 0 never"""
    weight: float
    """of the newest distribution in the smoothed one, above 0 to 1 (no smoothing)"""
    reset_hops: int
    """so many hops without speech and everything before them is forgotten"""
    margin: float = MARGIN
    """of hysteresis"""


@dataclass(frozen=True)
class State:
    """What is known after a hop."""

    smoothed: tuple[float, ...] = ()
    """probability of each class; empty before speech and after a reset"""
    dimensions: tuple[float, ...] = ()
    """smoothed arousal, valence and dominance, of a student that gives them"""
    standing: str = ""
    """label of the last hop with speech; empty before it and after a reset"""
    quiet: int = 0
    """hops without speech since"""

    @property
    def label(self) -> str:
        """What is claimed now: a class, "uncertain", or nothing (empty) without speech."""
        return "" if self.quiet else self.standing


def advance(
    state: State, rules: Rules, probabilities: Sequence[float] | None, dimensions: Sequence[float] | None = None
) -> State:
    """Take the next hop.

    Args:
        state: after the hop before; State() at the beginning
        rules: the same for a whole stream
        probabilities: of the classes, shape (classes,); None without speech
        dimensions: shape (3,), where the student gives them
    """
    if probabilities is None:
        quiet = state.quiet + 1
        return State(quiet=quiet) if quiet >= rules.reset_hops else replace(state, quiet=quiet)
    smoothed = _towards(state.smoothed, probabilities, rules.weight)
    averaged = () if dimensions is None else _towards(state.dimensions, dimensions, rules.weight)
    return State(smoothed, averaged, _label(state.standing, smoothed, rules))


def _towards(before: tuple[float, ...], now: Sequence[float], weight: float) -> tuple[float, ...]:
    """Exponential smoothing; the first values are taken as they are."""
    if not before:
        return tuple(float(value) for value in now)
    return tuple(float((1.0 - weight) * old + weight * new) for old, new in zip(before, now, strict=True))


def _label(standing: str, smoothed: tuple[float, ...], rules: Rules) -> str:
    """Keep the standing label unless another is clearly better; below the threshold it is always "uncertain".

    Between two classes, and between a class and "uncertain", there is a margin that must be crossed, and crossed back
    again: what moves by less cannot flicker.
    """
    best = int(np.argmax(smoothed))
    needed = rules.threshold
    if standing == UNCERTAIN:
        needed = min(rules.threshold + rules.margin, (1.0 + rules.threshold) / 2.0)  # stays below 1
    elif standing:
        stands = smoothed[rules.classes.index(standing)]
        if smoothed[best] < stands + rules.margin and stands >= rules.threshold:
            return standing
        if stands < rules.threshold:
            needed = max(needed, stands + rules.margin)
    return rules.classes[best] if smoothed[best] >= needed else UNCERTAIN
