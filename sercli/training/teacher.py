"""Teachers for distillation: what frozen encoders hear in every clip, the probes that turn it into logits, students.

    encoder --- cache ---> pooled states of all layers ---> probe (logistic regression) ---> logits
                      \\--> frames of chosen layers              fitted on training speakers only

A probe's logits on the clips it was fitted to are nearly one-hot and carry no dark knowledge, so the training clips get
cross-fitted ones: their speakers are parted into groups, and each group is answered by a probe that has not heard it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sercli.corpora.table import Utterance
from sercli.errors import CorpusError, RecipeError
from sercli.models.encoder import Encoder, EncoderSource, load_encoder
from sercli.training.recipe_teacher import EncoderPart, TeacherPart
from sercli.training.teacher_cache import CacheKey, TeacherCache
from sercli.training.teacher_fill import fill

Floats = npt.NDArray[np.float32]

MOST_STEPS = 2_000  # of the probe's optimiser


@dataclass(frozen=True)
class Heard:
    """What one encoder says about a list of utterances."""

    source: EncoderPart
    layers: tuple[int, ...]
    """Numbers of the layers, 0 is the input of the first."""
    pooled: npt.NDArray[np.float16]
    """States pooled over time, shape (clips, layers, width or 2 width)."""
    frames: Callable[[int], npt.NDArray[np.float16]]
    """Clip number to its states, shape (frames, layers, width); computed only where frames were asked for."""


def hear(
    part: EncoderPart, pooling: str, utterances: Sequence[Utterance], frames: bool = False, quiet: bool = False
) -> Heard:
    """Run an encoder over all utterances whose states are not in the cache.

    Args:
        part: which encoder, and which of its layers
        pooling: mean, or statistics for mean and standard deviation
        utterances: clips
        frames: also keep the states of every frame of the chosen layers
        quiet: no progress bar, no statement of the space needed

    Raises:
        RecipeError: a layer that the encoder does not have
        BundleError, ModelNotFoundError: as `load_encoder`
        CorpusError, OutputError: as `fill`
    """
    encoder = load_encoder(EncoderSource(part.name, part.revision))
    return hear_with(encoder, part, pooling, utterances, frames, quiet)


def hear_with(
    encoder: Encoder,
    part: EncoderPart,
    pooling: str | None,
    utterances: Sequence[Utterance],
    frames: bool = False,
    quiet: bool = False,
) -> Heard:
    """Do what `hear` does with an encoder that is loaded; without pooling, only frames.

    Raises:
        RecipeError, CorpusError, OutputError: as `hear`
    """
    layers = layers_of(encoder, part.layers, "teacher.encoders.layers")
    digests: tuple[str, ...] = ()
    pooled = np.zeros((len(utterances), len(layers), 0), np.float16)
    if pooling is not None:
        cache = TeacherCache(CacheKey(part.name, encoder.sha256, {"states": "pooled", "pooling": pooling}))
        digests = fill(cache, utterances, lambda clip: pooled_states(encoder, clip, pooling), quiet=quiet).digests
        pooled = np.stack([cache[digest]["pooled"][list(layers)] for digest in digests])
    if not frames:
        return Heard(part, layers, pooled, _no_frames)
    frame_cache = TeacherCache(CacheKey(part.name, encoder.sha256, {"states": "frames", "layers": list(layers)}))
    digests = fill(frame_cache, utterances, lambda clip: frame_states(encoder, clip, layers), quiet=quiet).digests
    return Heard(part, layers, pooled, lambda number: frame_cache[digests[number]]["frames"])


def layers_of(encoder: Encoder, chosen: Sequence[int], key: str) -> tuple[int, ...]:
    """The layers that a recipe asks for, all but the input of the first if it names none.

    Raises:
        RecipeError: one that the encoder does not have
    """
    layers = tuple(chosen) or tuple(range(1, encoder.layers + 1))
    if wrong := [layer for layer in layers if not 0 <= layer <= encoder.layers]:
        raise RecipeError(f"{key}: {encoder.name} has layers 0 to {encoder.layers}, not {wrong[0]}")
    return layers


def pooled_states(encoder: Encoder, clip: Floats, pooling: str) -> dict[str, Floats]:
    """Pool all layers of one clip over time: `pooled`, shape (layers + 1, width or 2 width)."""
    import torch

    from sercli.models.heads import pool_states

    with torch.inference_mode():
        encoded = encoder(torch.from_numpy(clip)[None], torch.tensor([len(clip)]))
        pooled = pool_states(torch.stack(encoded.states, dim=1), encoded.counts, pooling)
    return {"pooled": pooled[0].numpy()}


def frame_states(encoder: Encoder, clip: Floats, layers: Sequence[int]) -> dict[str, Floats]:
    """Keep the frames of some layers of one clip: `frames`, shape (frames, layers, width)."""
    import torch

    with torch.inference_mode():
        encoded = encoder(torch.from_numpy(clip)[None], torch.tensor([len(clip)]))
        states = torch.stack([encoded.states[layer][0, : int(encoded.counts[0])] for layer in layers], dim=1)
    return {"frames": states.numpy()}


def _no_frames(number: int) -> npt.NDArray[np.float16]:
    raise LookupError("frames were not asked for")


class Probe:
    """Multinomial logistic regression on standardised states, every corpus's classes counting alike.

    Args:
        strength: C of scikit-learn: the smaller, the stronger the L2 penalty
        features: of the training clips, shape (clips, dimensions)
        targets: their classes, shape (clips,)
        classes: number of classes of the label set; those without clips get the lowest logits
        weights: of the clips, shape (clips,)
    """

    def __init__(
        self,
        strength: float,
        features: Floats,
        targets: npt.NDArray[np.int64],
        classes: int,
        weights: npt.NDArray[np.float64],
    ) -> None:
        from sklearn.linear_model import LogisticRegression

        from sercli.models.heads import LEAST_DEVIATION

        if len(np.unique(targets)) < 2:
            raise CorpusError("a probe needs training clips of two classes or more; check corpus and split")
        self.classes = classes
        self.mean = features.mean(axis=0)
        self.deviation = np.maximum(features.std(axis=0), LEAST_DEVIATION)
        self.model = LogisticRegression(C=strength, max_iter=MOST_STEPS)
        self.model.fit(self._standardised(features), targets, sample_weight=weights * len(weights) / weights.sum())

    def logits(self, features: Floats) -> Floats:
        """Answer clips: shape (clips, dimensions) to (clips, classes)."""
        found = self.model.decision_function(self._standardised(features))
        if found.ndim == 1:  # of two classes scikit-learn gives the difference
            found = np.stack([-found / 2, found / 2], axis=1)
        logits = np.full((len(features), self.classes), found.min() - 1.0, np.float32)
        logits[:, self.model.classes_] = found
        return logits

    def _standardised(self, features: Floats) -> Floats:
        standardised: Floats = (features - self.mean) / self.deviation
        return standardised


def probe_logits(
    part: TeacherPart,
    heard: Sequence[Heard],
    utterances: Sequence[Utterance],
    train: npt.NDArray[np.bool_],
    labels: Sequence[str],
    seed: int = 0,
    held_out: npt.NDArray[np.bool_] | None = None,
) -> Floats:
    """Answer every utterance by probes that have not heard its speaker and by other students, averaged.

    Args:
        part: the recipe's teacher section
        heard: states of every encoder
        utterances: all clips, in the order of the states; those without a place among the labels are answered too
        train: which are of training speakers, shape (clips,)
        labels: label set
        seed: of the parting into groups
        held_out: which no student may have heard, shape (clips,); None: all that do not train

    Returns:
        logits, shape (clips, classes): of training clips cross-fitted, of all others by a probe of all training clips

    Raises:
        CorpusError: fewer training speakers than groups, or fewer than two classes
    """
    from sercli.training.teacher_answers import student_logits

    total = np.zeros((len(utterances), len(labels)), np.float32)
    for states in heard:
        total += states.source.weight * _crossfitted(part, states, utterances, train, labels, seed)
    for one in part.students:
        total += one.weight * student_logits(one.name, utterances, labels, ~train if held_out is None else held_out)
    weights = [*(states.source.weight for states in heard), *(one.weight for one in part.students)]
    return np.asarray(total / sum(weights), np.float32)


def _crossfitted(
    part: TeacherPart,
    states: Heard,
    utterances: Sequence[Utterance],
    train: npt.NDArray[np.bool_],
    labels: Sequence[str],
    seed: int,
) -> Floats:
    from sercli.training.data import class_weights

    groups = speaker_groups(utterances, train, part.groups, seed)
    fitted = train & np.array([utterance.emotion in labels for utterance in utterances])
    chosen = [utterance for utterance, fits in zip(utterances, fitted, strict=True) if fits]
    targets = np.array([labels.index(utterance.emotion) for utterance in chosen])
    weights = class_weights(chosen, 1.0)
    features = states.pooled.reshape(len(utterances), -1).astype(np.float32)
    logits = np.zeros((len(utterances), len(labels)), np.float32)
    for group in range(-1, part.groups):
        inside = groups[fitted] != group  # group -1 holds nobody: its probe hears all
        answered = groups == group if group >= 0 else ~train
        if answered.any():
            probe = Probe(part.strength, features[fitted][inside], targets[inside], len(labels), weights[inside])
            logits[answered] = probe.logits(features[answered])
    return logits


def speaker_groups(
    utterances: Sequence[Utterance], train: npt.NDArray[np.bool_], groups: int, seed: int
) -> npt.NDArray[np.int64]:
    """Part the training speakers of each corpus evenly into groups, at random.

    Returns:
        group of each clip, -2 for those that do not train, shape (clips,)

    Raises:
        CorpusError: fewer training speakers than groups
    """
    speakers = sorted({(u.corpus, u.speaker) for u, trains in zip(utterances, train, strict=True) if trains})
    if len(speakers) < groups:
        raise CorpusError(f"{len(speakers)} training speakers cannot make {groups} groups; lower teacher.groups")
    random = np.random.default_rng(seed)
    order = [speakers[number] for number in random.permutation(len(speakers))]
    order.sort(key=lambda speaker: speaker[0])  # by corpus, so that each corpus is spread over all groups
    group_of = {speaker: number % groups for number, speaker in enumerate(order)}
    return np.array(
        [group_of[u.corpus, u.speaker] if trains else -2 for u, trains in zip(utterances, train, strict=True)]
    )


def describe(part: TeacherPart, heard: Sequence[Heard]) -> dict[str, Any]:
    """Say for the record what taught: encoders with their layers, and the probe."""
    encoders = [{"name": one.source.name, "revision": one.source.revision, "layers": list(one.layers)} for one in heard]
    students = [{"name": one.name, "weight": one.weight} for one in part.students]
    return {
        "encoders": encoders,
        "students": students,
        "pooling": part.pooling,
        "strength": part.strength,
        "groups": part.groups,
    }
