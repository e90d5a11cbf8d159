"""Figures per group of clips, by gender, speaker, corpus or duration, and how far the groups lie apart."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from sercli.evaluation.bootstrap import Indices, Mask, Resample, rounded
from sercli.evaluation.metrics import drawn_tables, mean_recall, unweighted_accuracy, weighted_accuracy

FEWEST_CLIPS = 20  # a group of fewer is listed, but its UA is too much chance to be compared
UNKNOWN = "unknown"
SPEAKER = "speaker"
DURATION_EDGES = (1, 2, 4, 8)  # seconds


def groups(
    targets: Indices,
    predictions: Indices,
    labels: Sequence[str],
    columns: Mapping[str, Sequence[str]],
    speakers: Sequence[str],
    draws: int = 2_000,
    seed: int = 0,
) -> dict[str, Any]:
    """UA and WA of every group of every column, in percent, and the largest gaps of UA.

    UA of a group is over the classes that occur in it, so gaps are taken only between groups with the same classes,
    at least FEWEST_CLIPS clips each and a known name. The largest of many gaps is partly chance: read it with the
    intervals.

    Args:
        targets: true class of each clip, shape (clips,)
        predictions: class answered, -1 for no answer, shape (clips,)
        labels: names of the classes
        columns: name of a column to the group of each clip, such as gender; an empty group is called "unknown"
        speakers: speaker of each clip
        draws: bootstrap samples
        seed: of the draws

    Returns:
        `columns`: per column with at least two groups its `groups`, sorted by name, each with name, clips, speakers,
        ua, low, high, wa and classes, and its `gap` (points, best, worst; None if no two groups compare);
        `largest_gap` over all columns but the speakers, with its `column`, or None
    """
    resample = Resample(speakers, draws=draws, seed=seed)
    found: dict[str, Any] = {}
    for column, values in columns.items():
        names = np.array([value or UNKNOWN for value in values])
        members = {str(name): names == name for name in np.unique(names)}
        if len(members) > 1:
            rows = [_row(name, clips, targets, predictions, labels, resample) for name, clips in members.items()]
            classes = [frozenset(targets[clips].tolist()) for clips in members.values()]
            found[column] = {"groups": rows, "gap": _gap(rows, classes)}
    gaps = [{"column": column, **entry["gap"]} for column, entry in found.items() if column != SPEAKER and entry["gap"]]
    return {"columns": found, "largest_gap": max(gaps, key=lambda gap: gap["points"], default=None)}


def duration_bins(seconds: Iterable[float]) -> list[str]:
    """Name the range of each duration, such as "2 to 4 s"; the names sort by duration, NaN gives an empty one."""
    edges = (0, *DURATION_EDGES)
    names = [f"{low} to {high} s" for low, high in pairwise(edges)] + [f"{edges[-1]} s or more"]
    return [
        "" if math.isnan(value) else names[int(np.searchsorted(DURATION_EDGES, value, side="right"))]
        for value in seconds
    ]


def _row(
    name: str, clips: Mask, targets: Indices, predictions: Indices, labels: Sequence[str], resample: Resample
) -> dict[str, Any]:
    true, answered, drawn = targets[clips], predictions[clips], resample.only(clips)
    value = unweighted_accuracy(true, answered, len(labels))
    ua = drawn.figure(value, mean_recall(drawn_tables(true, answered, len(labels), drawn)))
    return {
        "name": name,
        "clips": len(true),
        "speakers": drawn.people,
        "ua": ua["value"],
        "low": ua["low"],
        "high": ua["high"],
        "wa": rounded(weighted_accuracy(true, answered)),
        "classes": len(np.unique(true)),
    }


def _gap(rows: Sequence[dict[str, Any]], classes: Sequence[frozenset[int]]) -> dict[str, Any] | None:
    alike: defaultdict[frozenset[int], list[dict[str, Any]]] = defaultdict(list)
    for row, occurring in zip(rows, classes, strict=True):
        if row["clips"] >= FEWEST_CLIPS and row["name"] != UNKNOWN:
            alike[occurring].append(row)
    gaps = []
    for compared in alike.values():
        if len(compared) > 1:
            worst, *_, best = sorted(compared, key=lambda row: row["ua"])
            gaps.append({"points": round(best["ua"] - worst["ua"], 2), "best": best["name"], "worst": worst["name"]})
    return max(gaps, key=lambda gap: gap["points"], default=None)
