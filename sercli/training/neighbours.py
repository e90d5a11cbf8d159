"""The graph of `nsl`: which clips are neighbours, by the cosine of their embeddings, kept in a file to look into.

    graph.npz   id, emotion, speaker        of every clip, (clips,); emotions are for statistics alone
                neighbours, weights         of every clip, heaviest first, (clips, k); -1 and 0 where there are fewer
                degree                      clips at or above the threshold, kept or not, (clips,)
                points                      principal components of the embeddings' directions, for pictures, (clips, n)
                threshold                   least cosine

The search is exact: every pair is compared (scikit-learn, in pieces that fit into memory). Weights are cosines rounded
to six decimals, so that both ends of an edge have the same one and copies of a clip are truly tied.
"""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sercli.corpora.table import Utterance
from sercli.errors import CorpusError

FILE = "graph.npz"
DECIMALS = 6  # of a cosine: beyond what float32 embeddings know
COMPONENTS = 50  # principal, as a picture needs them
CHUNK_MIB = 256  # of pairwise cosines held at once


@dataclass(frozen=True)
class NeighbourGraph:
    """Neighbours of every clip."""

    ids: tuple[str, ...]
    """`corpus/file`, with start and speed where they are not 0 and 1"""
    emotions: tuple[str, ...]
    """true ones, which nothing is built from"""
    speakers: tuple[str, ...]
    """`corpus/speaker`"""
    neighbours: npt.NDArray[np.int64]
    """numbers of the heaviest, -1 for none, shape (clips, k)"""
    weights: npt.NDArray[np.float32]
    """their cosines, 0 for none, shape (clips, k)"""
    degrees: npt.NDArray[np.int64]
    """clips at or above the threshold, shape (clips,)"""
    points: npt.NDArray[np.float32]
    """shape (clips, components)"""
    threshold: float

    @property
    def edges(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Kept pairs, each once whichever end kept it: lower and higher number, shape (edges, 2), and cosines."""
        clips, places = np.nonzero(self.neighbours >= 0)
        ends = np.sort(np.stack([clips, self.neighbours[clips, places]], axis=1), axis=1)
        pairs, first = np.unique(ends, axis=0, return_index=True)
        return pairs, self.weights[clips, places][first]

    def save(self, path: Path) -> None:
        """Write the file whole or not at all."""
        partial = path.with_name(f"{path.name}.{os.getpid()}.part")
        with partial.open("wb") as file:
            np.savez_compressed(
                file,
                id=np.array(self.ids),
                emotion=np.array(self.emotions),
                speaker=np.array(self.speakers),
                neighbours=self.neighbours,
                weights=self.weights,
                degree=self.degrees,
                points=self.points,
                threshold=np.array(self.threshold),
            )
        partial.replace(path)


def load_graph(path: Path) -> NeighbourGraph:
    """Read the graph of a run, or the file itself.

    Raises:
        CorpusError: there is none, or it is none
    """
    file = path / FILE if path.is_dir() else path
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            ids, emotions, speakers = (tuple(arrays[name].tolist()) for name in ("id", "emotion", "speaker"))
            return NeighbourGraph(
                ids,
                emotions,
                speakers,
                arrays["neighbours"],
                arrays["weights"],
                arrays["degree"],
                arrays["points"],
                float(arrays["threshold"]),
            )
    except FileNotFoundError:
        raise CorpusError(f"{file}: no graph; name the folder of a run of the method nsl, of one fold") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as problem:
        raise CorpusError(f"{file}: not a graph ({problem}); train the run anew") from problem


def build_graph(
    embeddings: npt.NDArray[np.floating[Any]],
    utterances: Sequence[Utterance],
    neighbors: int,
    threshold: float,
    standardise: bool = False,
) -> NeighbourGraph:
    """Find the neighbours of every clip.

    Args:
        embeddings: of the training clips and no others, shape (clips, width); a vector of zeros has no neighbours
        utterances: those clips
        neighbors: most that are kept, k: the heaviest, of equal ones those with the larger id (as NSL's packing)
        threshold: least cosine
        standardise: even out the dimensions first
    """
    from sklearn.metrics import pairwise_distances_chunked
    from sklearn.preprocessing import StandardScaler

    vectors = np.asarray(embeddings, np.float64)
    if standardise:
        vectors = StandardScaler().fit_transform(vectors)
    ids = tuple(clip_id(utterance) for utterance in utterances)
    rank = np.empty(len(ids), np.int64)
    rank[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids))

    def heaviest(distances: npt.NDArray[np.float64], first: int) -> tuple[npt.NDArray[Any], ...]:
        cosines = np.round(1.0 - distances, DECIMALS)
        rows = np.arange(len(cosines))
        cosines[rows, first + rows] = -1.0  # nobody is a neighbour of itself
        order = np.stack([np.lexsort((-rank, -row))[:neighbors] for row in cosines])
        return order, np.take_along_axis(cosines, order, axis=1), (cosines >= threshold).sum(axis=1)

    pieces = pairwise_distances_chunked(vectors, metric="cosine", reduce_func=heaviest, working_memory=CHUNK_MIB)
    order, cosines, degrees = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    missing = ((0, 0), (0, neighbors - order.shape[1]))  # fewer clips than neighbours wanted
    order = np.pad(order, missing, constant_values=-1)
    cosines = np.pad(cosines, missing, constant_values=-1.0)
    kept = cosines >= threshold
    return NeighbourGraph(
        ids,
        tuple(utterance.emotion for utterance in utterances),
        tuple(f"{utterance.corpus}/{utterance.speaker}" for utterance in utterances),
        np.where(kept, order, -1),
        np.where(kept, cosines, 0.0).astype(np.float32),
        degrees.astype(np.int64),
        _components(vectors),
        threshold,
    )


def clip_id(utterance: Utterance) -> str:
    """Name a clip for people: `emodb/03a01Fa.wav`, `meld/dia1.mp4@2.5`, `emodb/03a01Fa.wav*1.1`."""
    start = f"@{utterance.start:g}" if utterance.start else ""
    speed = f"*{utterance.speed:g}" if utterance.speed != 1 else ""
    return f"{utterance.corpus}/{Path(utterance.path).name}{start}{speed}"


def statistics(graph: NeighbourGraph) -> dict[str, Any]:
    """What there is to know of a graph.

    Returns:
        `clips`, `threshold`, `neighbors` (k), `pairs` at or above the threshold, `edges` that are kept, `isolated`
        clips, `degree` (mean, median, largest) before the k heaviest are kept, `kept` neighbours of a clip on average,
        `cosine` of the edges (least, median, largest; None without any); for information only, since nothing uses
        them, `purity`, share of the kept neighbours with the clip's own emotion, `purity_by_chance`, that of clips
        drawn at random, and `same_speaker`; None where no two clips have one
    """
    pairs, weights = graph.edges
    clips, places = np.nonzero(graph.neighbours >= 0)
    others = graph.neighbours[clips, places]
    same_emotion = _agreement(graph.emotions, clips, others)
    counts = np.array([count for emotion, count in Counter(graph.emotions).items() if emotion], np.float64)
    labelled = counts.sum()
    by_chance = float((counts * (counts - 1)).sum() / (labelled * (labelled - 1))) if labelled > 1 else None
    return {
        "clips": len(graph.ids),
        "threshold": graph.threshold,
        "neighbors": graph.neighbours.shape[1],
        "pairs": int(graph.degrees.sum()) // 2,
        "edges": len(pairs),
        "isolated": int((graph.degrees == 0).sum()),
        "degree": {name: float(of(graph.degrees)) for name, of in _SUMMARIES.items() if name != "least"},
        "kept": len(clips) / max(len(graph.ids), 1),
        "cosine": {name: round(float(of(weights)), DECIMALS) for name, of in _SUMMARIES.items() if name != "mean"}
        if len(weights)
        else None,
        "purity": same_emotion,
        "purity_by_chance": by_chance,
        "same_speaker": _agreement(graph.speakers, clips, others),
    }


_SUMMARIES: dict[str, Any] = {"least": np.min, "mean": np.mean, "median": np.median, "largest": np.max}


def _agreement(names: Sequence[str], clips: npt.NDArray[np.int64], others: npt.NDArray[np.int64]) -> float | None:
    """Share of the pairs that have the same name, of those in which both have one."""
    known = np.array(names)
    one, other = known[clips], known[others]
    both = (one != "") & (other != "")
    return float((one == other)[both].mean()) if both.any() else None


def _components(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import normalize

    directions = normalize(vectors)  # near where the cosine is large
    found = PCA(min(COMPONENTS, *vectors.shape), random_state=0).fit_transform(directions)
    return np.asarray(found, np.float32)
