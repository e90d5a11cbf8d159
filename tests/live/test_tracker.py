"""Smoothing, hysteresis, uncertainty and resets as truth tables and properties."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sercli.live.tracker import Rules, State, advance

THRESHOLD = 0.4
RULES = Rules(("happy", "sad", "angry"), THRESHOLD, weight=1.0, reset_hops=4, margin=0.05)


def labels(*distributions: tuple[float, float] | None, rules: Rules = RULES) -> list[str]:
    """Labels of a stream of (happy, sad) probabilities; the rest is angry; None is no speech."""
    state, found = State(), []
    for values in distributions:
        state = advance(state, rules, None if values is None else (*values, 1.0 - sum(values)))
        found.append(state.label)
    return found


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        ([(0.8, 0.1)], ["happy"]),
        ([(0.4, 0.3)], ["happy"]),
        ([(0.39, 0.31)], ["uncertain"]),
        ([(0.5, 0.45), (0.46, 0.49)], ["happy", "happy"]),  # better by less than the margin
        ([(0.5, 0.45), (0.44, 0.50)], ["happy", "sad"]),
        ([(0.41, 0.3), (0.39, 0.38)], ["happy", "uncertain"]),  # below the threshold, always
        ([(0.39, 0.31), (0.44, 0.3), (0.46, 0.3)], ["uncertain", "uncertain", "happy"]),
        ([(0.42, 0.41), (0.39, 0.42)], ["happy", "uncertain"]),  # not so much better as to take over
        ([(0.42, 0.41), (0.35, 0.42)], ["happy", "sad"]),
        ([None, (0.8, 0.1), None, (0.8, 0.1)], ["", "happy", "", "happy"]),
    ],
)
def test_labels(stream: list[tuple[float, float] | None], expected: list[str]) -> None:
    assert labels(*stream) == expected


def test_threshold_zero_is_never_uncertain_and_one_nearly_always() -> None:
    never = Rules(RULES.classes, 0.0, 1.0, 4)
    assert "uncertain" not in labels((0.34, 0.33), (0.33, 0.34), (0.2, 0.4), rules=never)
    always = Rules(RULES.classes, 1.0, 1.0, 4)
    assert labels((0.99, 0.01), (1.0, 0.0), rules=always) == ["uncertain", "happy"]


@given(st.lists(st.floats(-0.024, 0.024), min_size=1, max_size=60), st.floats(0.3, 0.5))
def test_jitter_within_the_margin_cannot_flicker(jitter: list[float], middle: float) -> None:
    """Two classes that are alike, anywhere around the threshold, change the label once at most."""
    found = labels(*((middle + move, middle - move) for move in jitter))
    assert sum(before != after for before, after in pairwise(found)) <= 1


def test_step_response_is_exponential() -> None:
    rules = Rules(RULES.classes, THRESHOLD, weight=1.0 - math.exp(-0.25 / 0.5), reset_hops=4)
    state = advance(State(), rules, (1.0, 0.0, 0.0))
    assert state.smoothed == (1.0, 0.0, 0.0)  # the first is taken as it is
    for hop in range(1, 9):
        state = advance(state, rules, (0.0, 1.0, 0.0))
        assert state.smoothed[0] == pytest.approx(math.exp(-0.25 * hop / 0.5))
        assert sum(state.smoothed) == pytest.approx(1.0)


def test_silence_resets() -> None:
    slow = Rules(RULES.classes, THRESHOLD, weight=0.1, reset_hops=4)
    begun = advance(State(), slow, (1.0, 0.0, 0.0))
    short = begun
    for _ in range(3):
        short = advance(short, slow, None)
        assert short.label == ""
    assert advance(short, slow, (0.0, 1.0, 0.0)).label == "happy"  # one breath: the same voice
    assert advance(advance(short, slow, None), slow, (0.0, 1.0, 0.0)).label == "sad"  # forgotten


def test_dimensions_are_smoothed_and_reset() -> None:
    half = Rules(RULES.classes, THRESHOLD, weight=0.5, reset_hops=1)
    state = advance(State(), half, (1.0, 0.0, 0.0), (0.0, 0.2, 1.0))
    state = advance(state, half, (1.0, 0.0, 0.0), (1.0, 0.2, 0.0))
    assert state.dimensions == pytest.approx((0.5, 0.2, 0.5))
    assert advance(state, half, None).dimensions == ()
