"""A picture of the graph of `nsl`: clips where their embeddings put them, and lines between neighbours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sercli.evaluation.canvas import QUIET, STYLE, blank, save
from sercli.evaluation.embedding_map import MOST_CLIPS, flatten, scatter_emotions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sercli.training.neighbours import NeighbourGraph


def draw_graph(graph: NeighbourGraph, name: str, path: Path, seed: int = 0) -> None:
    """Write the picture, in the style of a report's; arguments as of `graph_map`."""
    from matplotlib import style

    with style.context(["default", STYLE]):
        save(graph_map(graph, name, seed), path)


def graph_map(graph: NeighbourGraph, name: str, seed: int = 0) -> Figure:
    """Draw clips by true emotion, as `embedding_map` does, and the edges among those that are drawn.

    Args:
        graph: with one clip at least
        name: whose it is, for the heading
        seed: of the clips drawn from many, and of t-SNE
    """
    from matplotlib.collections import LineCollection

    clips = len(graph.ids)
    chosen = np.arange(clips)
    if clips > MOST_CLIPS:
        chosen = np.sort(np.random.default_rng(seed).choice(clips, MOST_CLIPS, replace=False))
    points, way = flatten(np.asarray(graph.points[chosen], np.float64), seed)
    pairs, _ = graph.edges
    drawn = pairs[np.isin(pairs, chosen).all(axis=1)]
    lines = points[np.searchsorted(chosen, drawn)]
    corpora = sorted({identity.partition("/")[0] for identity in graph.ids})
    facts = {
        "model": {"name": name},
        "data": {"corpora": corpora, "utterances": clips, "speakers": len(set(graph.speakers))},
    }
    share = "" if len(chosen) == clips else f" among {len(chosen):,} clips drawn at random"
    note = (
        f"{way} of the embeddings; a line joins neighbours of cosine {graph.threshold:g} or more, {len(drawn):,} of "
        f"{len(pairs):,}{share}. The graph was built without the emotions that colour it."
    )
    figure = blank(facts, "Neighbours by true emotion", 7.0, 5.2, note)
    axes = figure.add_subplot()
    axes.add_collection(LineCollection(list(lines), colors=QUIET, linewidths=0.4, alpha=0.5, zorder=0))
    emotions: Any = np.array([graph.emotions[clip] or "unlabelled" for clip in chosen], dtype=object)
    scatter_emotions(axes, points, emotions, sorted(set(emotions)))
    return figure
