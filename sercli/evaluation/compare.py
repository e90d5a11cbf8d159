"""Two models on the same clips: is the difference more than chance?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sercli.evaluation.bootstrap import FEWEST_SPEAKERS, Floats, Indices, Resample, rounded
from sercli.evaluation.metrics import accuracy, answer_cells, drawn_tables, mean_recall

EXACT_SPEAKERS = 12  # up to here all 2^12 = 4,096 swaps are tried
RANDOM_SWAPS = 10_000


def compare(
    targets: Indices,
    first: Indices,
    second: Indices,
    labels: Sequence[str],
    speakers: Sequence[str],
    draws: int = 2_000,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare the answers of two models to the same clips.

    Intervals of the difference are of a paired bootstrap over speakers. p is of a two-sided permutation test that
    swaps the two models' answers for whole speakers: every combination of them up to EXACT_SPEAKERS speakers, beyond
    that RANDOM_SWAPS random ones, counting the answers as given among them (Phipson & Smyth 2010). With n speakers an
    exact p is never below 2 / 2^n, 0.0625 for five.

    Args:
        targets: true class of each clip, shape (clips,)
        first: classes answered by the first model, -1 for no answer, shape (clips,)
        second: by the second model
        labels: names of the classes
        speakers: speaker of each clip
        draws: bootstrap samples
        seed: of the draws and the random swaps

    Returns:
        `ua` and `wa`, each `first`, `second`, `difference` (second less first, with `low` and `high`) in percent and
        `p`, which is None, as low and high, with fewer than FEWEST_SPEAKERS speakers; `clips`; `speakers`; clips
        `only_first_right` and `only_second_right`; `mcnemar_p`, which takes clips for independent and is too sure
        where speakers differ
    """
    classes = len(labels)
    resample = Resample(speakers, draws=draws, seed=seed)
    one, other = (_speaker_tables(targets, answers, classes, resample) for answers in (first, second))
    drawn_one, drawn_other = (drawn_tables(targets, answers, classes, resample) for answers in (first, second))
    moved = np.tensordot(_swaps(resample.people, seed), other - one, axes=1)
    one, other = one.sum(axis=0), other.sum(axis=0)

    def figures(statistic: Callable[[Floats], Floats]) -> dict[str, Any]:
        def difference(before: Floats, after: Floats) -> Floats:
            return statistic(after) - statistic(before)

        observed = float(difference(one, other))
        figure = resample.figure(observed, difference(drawn_one, drawn_other))
        return {
            "first": rounded(float(statistic(one))),
            "second": rounded(float(statistic(other))),
            "difference": figure["value"],
            "low": figure["low"],
            "high": figure["high"],
            "p": _permutation_p(observed, difference(one + moved, other - moved), resample.people),
        }

    only_first = int(((first == targets) & (second != targets)).sum())
    only_second = int(((second == targets) & (first != targets)).sum())
    return {
        "ua": figures(mean_recall),
        "wa": figures(accuracy),
        "clips": len(targets),
        "speakers": resample.people,
        "only_first_right": only_first,
        "only_second_right": only_second,
        "mcnemar_p": _significant(mcnemar(only_first, only_second)),
    }


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided p of the exact McNemar test: were the clips that only one model got right split by a coin?

    Args:
        only_first: clips that only the first model labelled right
        only_second: clips that only the second model labelled right
    """
    clips, fewer = only_first + only_second, min(only_first, only_second)
    logarithms = (
        math.lgamma(clips + 1) - math.lgamma(k + 1) - math.lgamma(clips - k + 1) - clips * math.log(2.0)
        for k in range(fewer + 1)
    )
    return min(1.0, 2.0 * math.fsum(map(math.exp, logarithms)))


def _speaker_tables(targets: Indices, answers: Indices, classes: int, resample: Resample) -> Floats:
    """Table of answers of each speaker, shape (speakers, classes, classes + 1)."""
    tallies = resample.speaker_tallies(answer_cells(targets, answers, classes), classes * (classes + 1))
    return tallies.reshape(-1, classes, classes + 1)


def _swaps(people: int, seed: int) -> Floats:
    """Speakers whose answers are swapped (1) or not (0), shape (swaps, speakers)."""
    if people <= EXACT_SPEAKERS:
        return (np.arange(2**people)[:, None] >> np.arange(people) & 1).astype(np.float64)
    return np.random.default_rng(seed).integers(0, 2, (RANDOM_SWAPS, people)).astype(np.float64)


def _permutation_p(observed: float, swapped: Floats, people: int) -> float | None:
    if people < FEWEST_SPEAKERS:
        return None
    as_far = int((np.abs(swapped) >= abs(observed) - 1e-12).sum())  # equal but for rounding counts as equal
    if people <= EXACT_SPEAKERS:  # all swaps, the answers as given among them
        return _significant(as_far / len(swapped))
    return _significant((as_far + 1) / (len(swapped) + 1))


def _significant(p: float) -> float:
    return float(f"{p:.3g}")  # fixed decimals would report 0
