"""A map of clips: embeddings in two dimensions by t-SNE, or by PCA where there are few, coloured by true emotion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sercli.evaluation.canvas import INK, MARKERS, blank, classes_of
from sercli.labels import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

MOST_CLIPS = 2_000  # drawn at random from more; readable, and t-SNE in a minute
LEAST_CLIPS = 50  # of t-SNE; PCA below
PERPLEXITY = 30.0  # neighbours that count, the usual middle of 5 to 50
PCA_DIMENSIONS = 50  # before t-SNE, as van der Maaten and Hinton do
OTHER_COLOURS = ("#882255", "#332288", "#999933", "#661100", "#44AA99", "#88CCEE")
"""Of labels that COLOURS lacks: from Paul Tol's muted palette."""


def embedding_map(
    metrics: Mapping[str, Any], embeddings: NDArray[np.floating[Any]], emotions: Sequence[str], seed: int = 0
) -> Figure | None:
    """Draw the map.

    Args:
        metrics: of the evaluation, for the heading and the order of classes
        embeddings: shape (clips, dimensions); rows that are not finite are left out
        emotions: true emotion of each clip; clips without one are left out
        seed: of the clips drawn and of t-SNE

    Returns:
        the figure, or None for fewer than three clips
    """
    vectors, emotion = np.asarray(embeddings, np.float64), np.asarray(emotions, dtype=object)
    usable = np.flatnonzero(np.isfinite(vectors).all(axis=1) & (emotion != ""))
    if len(usable) < 3:
        return None
    chosen = usable
    if len(usable) > MOST_CLIPS:
        chosen = np.sort(np.random.default_rng(seed).choice(usable, MOST_CLIPS, replace=False))
    points, way = flatten(vectors[chosen], seed)
    shown = f"{len(chosen):,} clips" + (f" of {len(usable):,}, drawn at random" if len(chosen) < len(usable) else "")
    note = (
        f"{way} of {shown}, seed {seed}. Neighbours are alike; the distances between clusters, their sizes and the axes"
        " mean nothing."
        if way == "t-SNE"
        else f"{way} of {shown}: the two directions in which the clips differ most."
    )
    figure = blank(metrics, "Embeddings by true emotion", 7.0, 5.2, note)
    axes = figure.add_subplot()
    present = set(emotion[chosen])
    order = [label for label in classes_of(metrics) if label in present]
    order += sorted(present - set(order))
    scatter_emotions(axes, points, emotion[chosen], order)
    return figure


def scatter_emotions(
    axes: Axes, points: NDArray[np.float64], emotions: NDArray[np.object_], order: Sequence[str]
) -> None:
    """Draw clips as dots, one colour and marker for each emotion, and a legend beside them.

    Args:
        axes: to draw in
        points: shape (clips, 2)
        emotions: of the clips, shape (clips,)
        order: of the emotions
    """
    others = iter(OTHER_COLOURS * len(order))
    for index, label in enumerate(order):
        mine = emotions == label
        axes.scatter(
            points[mine, 0],
            points[mine, 1],
            s=16 if len(points) > 300 else 28,
            color=COLOURS.get(label) or next(others),
            marker=MARKERS[index % len(MARKERS)],
            edgecolor=INK,
            linewidth=0.25,
            alpha=0.8,
            label=f"{label} ({mine.sum():,})",
        )
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(True)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), markerscale=1.5, labelspacing=0.7)


def flatten(embeddings: NDArray[np.float64], seed: int = 0) -> tuple[NDArray[np.float64], str]:
    """Bring embeddings into two dimensions, the same way every time.

    t-SNE: van der Maaten and Hinton (2008), started from PCA, which keeps more of the global order than a random start
    (Kobak and Berens, 2019).

    Args:
        embeddings: finite, shape (clips, dimensions)
        seed: of t-SNE

    Returns:
        points, shape (clips, 2), and the name of the way: `t-SNE`, or `PCA` for few clips or clips all alike
    """
    centred = embeddings - embeddings.mean(axis=0)
    left, strengths, _ = np.linalg.svd(centred, full_matrices=False)
    left = left * np.sign(left[np.abs(left).argmax(axis=0), np.arange(left.shape[1])])  # or the sign is arbitrary
    components = np.pad(left * strengths, ((0, 0), (0, 2)))
    start = components[:, :2]
    if len(centred) < LEAST_CLIPS or strengths[0] < 1e-9:
        return start, "PCA"
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # sums of several threads differ in their last digits, and t-SNE makes that visible
        tsne = TSNE(
            perplexity=min(PERPLEXITY, (len(centred) - 1) / 3), init=1e-4 * start / start[:, 0].std(), random_state=seed
        )
        points = tsne.fit_transform(components[:, :PCA_DIMENSIONS])
    return np.asarray(points, np.float64), "t-SNE"
