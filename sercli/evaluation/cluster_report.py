"""What clusters of frames hold: their sizes, and how well they tell emotion, gender and pieces of sentences apart.

Purity is the share of frames that belong to the commonest class of their cluster (as phone purity in Hsu et al. 2021);
beside it stands what a single cluster would have. Purity grows with the number of clusters, normalised mutual
information (NMI) hardly does.

Corpora of emotional speech come without phone labels. Where two speakers or more say the same sentence, a frame's
sentence and the tenth of the clip that it lies in stand in for its phone: about the same words are said there. That is
a coarse unit, longer than a phone and blurred by tempo, and says nothing about sentences that are said once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sercli.corpora.table import Utterance
from sercli.evaluation.canvas import LINES, QUIET, SMALL, STYLE, save

PICTURE = "clusters.png"
PIECES = 10  # of a sentence
KINDS = {"emotion": "emotion", "gender": "gender", "unit": "piece of sentence"}
"""What purity is measured with, and how a picture names it."""
UNKNOWN = -1
INCHES = 2.5  # of a panel

Integers = npt.NDArray[np.integer[Any]]


def describe(
    scales: Sequence[tuple[int, int]], numbers: Sequence[Integers], utterances: Sequence[Utterance]
) -> dict[str, Any]:
    """Count what the clusters hold.

    Args:
        scales: (layer, k) of each clustering
        numbers: of the frames of each clip, shape (frames, scales)
        utterances: of the clips

    Returns:
        `frames`; `classes`, how many of each kind of KINDS that is known; `scales`, by name: `sizes`, frames per
        cluster, `largest`, share of the largest in percent, `empty`, `purity` (`value`, `one_cluster` and `frames`),
        and `nmi`
    """
    counts = [len(clip) for clip in numbers]
    kinds = {kind: targets for kind, targets in _targets(utterances, counts).items() if (targets != UNKNOWN).any()}
    joined = np.concatenate(list(numbers))
    report: dict[str, Any] = {
        "frames": len(joined),
        "classes": {kind: len(np.unique(targets[targets != UNKNOWN])) for kind, targets in kinds.items()},
        "scales": {},
    }
    for column, (layer, k) in enumerate(scales):
        found = joined[:, column]
        sizes = np.bincount(found, minlength=k)
        report["scales"][f"{layer}x{k}"] = {
            "layer": layer,
            "k": k,
            "sizes": sizes.tolist(),
            "largest": round(100.0 * sizes.max() / len(found), 2),
            "empty": int((sizes == 0).sum()),
            "purity": {kind: _purity(found, targets) for kind, targets in kinds.items()},
            "nmi": {kind: _nmi(found, targets) for kind, targets in kinds.items()},
        }
    return report


def draw_clusters(report: Mapping[str, Any], folder: Path) -> None:
    """Draw the sizes of the clusters, a panel for each scale, and a panel of purities, into `clusters.png`."""
    from matplotlib import style
    from matplotlib.figure import Figure

    scales = report["scales"]
    with style.context(["default", STYLE]):
        figure = Figure(figsize=(INCHES * (len(scales) + 1.4), 2.6), layout="constrained")
        axes = figure.subplots(1, len(scales) + 1, width_ratios=[*[1.0] * len(scales), 1.4])
        for place, scale in enumerate(scales.values()):
            sizes = 100.0 * np.sort(scale["sizes"])[::-1] / report["frames"]
            axes[place].bar(np.arange(len(sizes)), sizes, width=1.0, color=LINES[place % len(LINES)])
            axes[place].set(title=f"layer {scale['layer']}, {scale['k']} clusters", xlabel="cluster, by size")
        axes[0].set_ylabel("share of frames, %")
        last, kinds = axes[-1], list(report["classes"])
        width = 0.8 / len(scales)
        for place, (name, scale) in enumerate(scales.items()):
            values = [scale["purity"][kind]["value"] for kind in kinds]
            offsets = np.arange(len(kinds)) + width * (place - (len(scales) - 1) / 2)
            last.bar(offsets, values, width=0.9 * width, color=LINES[place % len(LINES)], label=name)
        first = next(iter(scales.values()))
        for place, kind in enumerate(kinds):
            level = first["purity"][kind]["one_cluster"]
            last.hlines(level, place - 0.45, place + 0.45, color=QUIET, linestyle=":", linewidth=1.4)
        names = [f"{KINDS[kind]}\n({report['classes'][kind]} classes)" for kind in kinds]
        last.set(title="purity, %; dotted: one cluster", xticks=range(len(kinds)), ylim=(0, 100))
        last.set_xticklabels(names, size=SMALL)
        save(figure, folder / PICTURE)


def _targets(utterances: Sequence[Utterance], counts: Sequence[int]) -> dict[str, Integers]:
    """Class numbers of all frames, by kind; UNKNOWN where nobody knows."""
    emotions, genders = (_numbered([getattr(u, key) for u in utterances]) for key in ("emotion", "gender"))
    speakers: dict[str, set[tuple[str, str]]] = {}
    for utterance in utterances:
        speakers.setdefault(utterance.text, set()).add((utterance.corpus, utterance.speaker))
    texts = _numbered([u.text if len(speakers[u.text]) > 1 else "" for u in utterances])
    pieces = np.concatenate([PIECES * np.arange(count) // count for count in counts])
    sentence = np.repeat(texts, counts)
    return {
        "emotion": np.repeat(emotions, counts),
        "gender": np.repeat(genders, counts),
        "unit": np.where(sentence == UNKNOWN, UNKNOWN, PIECES * sentence + pieces),
    }


def _numbered(values: Sequence[str]) -> Integers:
    names = sorted({value for value in values if value})
    return np.array([names.index(value) if value else UNKNOWN for value in values])


def _purity(numbers: Integers, targets: Integers) -> dict[str, float | int]:
    known = targets != UNKNOWN
    table = np.zeros((int(numbers.max()) + 1, int(targets.max()) + 1), np.int64)
    np.add.at(table, (numbers[known], targets[known]), 1)
    total = int(known.sum())
    return {
        "value": round(100.0 * float(table.max(axis=1).sum()) / total, 2),
        "one_cluster": round(100.0 * float(table.sum(axis=0).max()) / total, 2),
        "frames": total,
    }


def _nmi(numbers: Integers, targets: Integers) -> float:
    from sklearn.metrics import normalized_mutual_info_score

    known = targets != UNKNOWN
    return round(float(normalized_mutual_info_score(targets[known], numbers[known])), 4)
