"""Clusters of an encoder's frames by mini-batch k-means: fitted to training speakers alone, and kept with the fold.

    states of a layer, float16 on disk -> standardised by mean and deviation of all frames -> k centres

Frames are read in random batches from a memory map, so their number is bounded by the disk.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sercli.corpora.splits import Split
from sercli.corpora.table import Utterance
from sercli.errors import BundleError, CorpusError, LeakError
from sercli.models.heads import LEAST_DEVIATION

Floats = npt.NDArray[np.float32]
Features = Mapping[int, npt.NDArray[np.float16]]
"""Layer to the states of all frames, shape (frames, width)."""

BATCH_FRAMES = 10_000  # as FLEA (Liu et al. 2024)
LEAST_BATCHES = 100  # of short material, which is gone through again and again
LEAST_PASSES = 3


@dataclass(frozen=True)
class Clustering:
    """How the frames of one layer are parted."""

    layer: int
    mean: Floats
    """of the layer's frames, shape (width,)"""
    deviation: Floats
    """likewise"""
    centres: Floats
    """of standardised frames, shape (k, width)"""

    @property
    def scale(self) -> tuple[int, int]:
        """Layer and number of clusters."""
        return self.layer, len(self.centres)

    @property
    def name(self) -> str:
        """Layer and number of clusters, as `6x64`."""
        return f"{self.layer}x{len(self.centres)}"

    def numbers(self, states: npt.NDArray[np.floating]) -> npt.NDArray[np.int32]:
        """Number each frame by its nearest centre: shape (frames, width) to (frames,)."""
        frames = (np.asarray(states, np.float32) - self.mean) / self.deviation
        distances = (self.centres**2).sum(axis=1) - 2.0 * frames @ self.centres.T  # but for the frame's own length
        return np.asarray(distances.argmin(axis=1), np.int32)


def check_fitted(fitted: Sequence[Utterance], split: Split, transductive: bool) -> None:
    """Refuse clusters that know whom the run holds out.

    Args:
        fitted: utterances that they are fitted to
        split: of the run
        transductive: test speakers may be heard

    Raises:
        LeakError: a held-out speaker is among them
    """
    if split.leaks:
        return
    held_out = {(u.corpus, u.speaker) for u in [*split.dev, *([] if transductive else split.test)]}
    if known := next((u for u in fitted if (u.corpus, u.speaker) in held_out), None):
        raise LeakError(f"clusters: would be fitted to {known.corpus}/{known.speaker}, whom this run holds out")


@contextmanager
def kept_features(folder: Path, clips: Iterable[Mapping[int, Floats]]) -> Iterator[Features]:
    """Write the states of clips into one file per layer, map them, and take the files away at the end.

    Args:
        folder: for the files
        clips: layer to states, shape (frames, width), clip by clip
    """
    files: dict[int, Path] = {}
    width = 0
    for left in folder.glob("features-*.f16"):  # by a run that was killed
        left.unlink()
    try:
        for clip in clips:
            for layer, states in clip.items():
                width = states.shape[1]
                files[layer] = folder / f"features-{layer}.f16"
                with files[layer].open("ab") as sink:
                    sink.write(np.asarray(states, np.float16).tobytes())
        yield {layer: np.memmap(file, np.float16, "r").reshape(-1, width) for layer, file in files.items()}
    finally:
        for file in folder.glob("features-*.f16"):
            file.unlink()


def fit_clusters(features: Features, scales: Sequence[tuple[int, int]], seed: int) -> list[Clustering]:
    """Fit one clustering per (layer, k).

    Args:
        features: of all frames that count
        scales: (layer, k) pairs
        seed: of the centres' start and of the order of the frames

    Raises:
        CorpusError: fewer frames than clusters
    """
    moments: dict[int, tuple[Floats, Floats]] = {}
    found = []
    for layer, k in scales:
        states = features[layer]
        if len(states) < k:
            raise CorpusError(f"{len(states)} training frames cannot make {k} clusters; lower k of layer {layer}")
        if layer not in moments:
            moments[layer] = _moments(states)
        mean, deviation = moments[layer]
        found.append(Clustering(layer, mean, deviation, _centres(states, mean, deviation, k, seed)))
    return found


def save_clusters(clusterings: Sequence[Clustering], file: Path) -> None:
    """Write clusterings as safetensors."""
    from safetensors.numpy import save_file

    arrays = {
        f"{one.name}.{part}": np.ascontiguousarray(getattr(one, part))
        for one in clusterings
        for part in ("mean", "deviation", "centres")
    }
    save_file(arrays, file, {"scales": json.dumps([one.scale for one in clusterings])})


def load_clusters(file: Path) -> list[Clustering]:
    """Read clusterings.

    Raises:
        BundleError: they cannot be read
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "numpy") as tensors:
            scales = json.loads(tensors.metadata()["scales"])
            return [
                Clustering(
                    layer, *(tensors.get_tensor(f"{layer}x{k}.{part}") for part in ("mean", "deviation", "centres"))
                )
                for layer, k in scales
            ]
    except (OSError, SafetensorError, KeyError, ValueError) as problem:
        raise BundleError(f"{file}: cannot read the clusters ({problem}); train the stage anew") from problem


def _moments(states: npt.NDArray[np.float16]) -> tuple[Floats, Floats]:
    """Mean and deviation over all frames, each of shape (width,)."""
    total, squares = (np.zeros(states.shape[1]) for _ in range(2))
    for start in range(0, len(states), BATCH_FRAMES):
        batch = states[start : start + BATCH_FRAMES].astype(np.float64)
        total += batch.sum(axis=0)
        squares += (batch**2).sum(axis=0)
    mean = total / len(states)
    deviation = np.sqrt(np.maximum(squares / len(states) - mean**2, LEAST_DEVIATION**2))
    return mean.astype(np.float32), deviation.astype(np.float32)


def _centres(states: npt.NDArray[np.float16], mean: Floats, deviation: Floats, k: int, seed: int) -> Floats:
    """Mini-batch k-means (Sculley 2010) of standardised frames, started by k-means++; shape (k, width)."""
    from sklearn.cluster import MiniBatchKMeans

    model = MiniBatchKMeans(k, random_state=seed, n_init=1)
    random = np.random.default_rng(seed)
    batches = math.ceil(len(states) / BATCH_FRAMES)
    for _ in range(max(LEAST_PASSES, math.ceil(LEAST_BATCHES / batches))):
        order = random.permutation(len(states))
        for part in np.array_split(order, batches):  # alike in size: the first must hold k frames
            model.partial_fit((states[np.sort(part)] - mean) / deviation)
    return np.asarray(model.cluster_centers_, np.float32)
