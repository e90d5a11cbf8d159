"""Clips as training items, balanced length-grouped sampling, padding into batches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Sampler

from sercli.audio import SAMPLE_RATE
from sercli.corpora.table import Utterance
from sercli.models.text_encoder import reading
from sercli.training.lessons import Lessons, collate_lessons
from sercli.training.neighbours import NeighbourGraph
from sercli.training.noise import TrainingNoise
from sercli.training.outputs import targets_of
from sercli.training.recipe import AugmentPart
from sercli.training.store import FULL_SCALE, AudioStore

MIN_SAMPLES = SAMPLE_RATE // 4  # clips are never cut below 0.25 s
UNLABELLED = -1  # class number of a clip that is heard for its teacher's answers alone
SPEED_STEPS = 100  # speeds are multiples of 1/100, so that the resampler keeps a small ratio


class Draw(NamedTuple):
    """One of the times that a clip is drawn; what becomes of it depends on nothing else, in whichever process."""

    clip: int
    """number"""
    seed: tuple[int, ...]
    """of all that is random about it: seed of the run, epoch, place in the epoch"""


class Clips(Dataset[dict[str, Any]]):
    """Utterances with their audio; when training cut, shifted, re-timed and put into noise at random.

    A teacher's lesson is of the clean clip, and of the stretch of it that is heard.

    Args:
        utterances: in the order of the store
        store: their audio
        labels: label set, which gives class numbers
        augment: what to do to clips; None for evaluation
        weights: loss weight per utterance, shape (clips,)
        lessons: what a teacher says about each utterance; None without one
        noise: what clips are heard in, in training; None leaves them clean
        graph: whose neighbours come with each clip, in training; None without any
        outputs: names of further outputs, whose targets come with each clip
        tokens: of each clip's transcript, none where there is none; None for who does not read
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        store: AudioStore,
        labels: Sequence[str],
        augment: AugmentPart | None = None,
        weights: npt.NDArray[np.float64] | None = None,
        lessons: Lessons | None = None,
        noise: TrainingNoise | None = None,
        graph: NeighbourGraph | None = None,
        outputs: Sequence[str] = (),
        tokens: Sequence[Sequence[int]] | None = None,
    ) -> None:
        self.store = store
        self.tokens = tokens
        self.augment = augment
        self.lessons = lessons
        self.noise = noise
        self.graph = graph
        self.targets = [
            labels.index(utterance.emotion) if utterance.emotion else UNLABELLED for utterance in utterances
        ]
        self.weights = np.ones(len(utterances)) if weights is None else weights
        # A corpus that never shows a class says nothing about it: its clips do not compete with that class. Without a
        # label a clip may be of any class, as its teacher sees fit.
        present: dict[str, npt.NDArray[np.bool_]] = {}
        for utterance, target in zip(utterances, self.targets, strict=True):
            if utterance.emotion:
                present.setdefault(utterance.corpus, np.zeros(len(labels), dtype=bool))[target] = True
        every = np.ones(len(labels), dtype=bool)
        self.further = targets_of(utterances, outputs)
        self.known = [present[utterance.corpus] if utterance.emotion else every for utterance in utterances]

    def __len__(self) -> int:
        return len(self.targets)

    def facts(self, index: int) -> dict[str, Any]:
        """What is known of a clip but its sound: label, loss weight, known classes, further targets, transcript."""
        told = {} if self.tokens is None else {"tokens": self.tokens[index]}
        return {
            **told,
            "label": self.targets[index],
            "weight": self.weights[index],
            "known": self.known[index],
            "further": {name: values[index] for name, values in self.further.items()},
        }

    def __getitem__(self, draw: Draw | int) -> dict[str, Any]:
        """One clip: waveform, int16 or float of that scale (samples,), its facts, and its lesson.

        With a graph also `neighbours`, waveforms that are changed at random as the clip is, heaviest first, and
        `edge_weights` (neighbours,), 0 for those that it does not have.

        Args:
            draw: of the sampler; a clip number alone does where nothing is random
        """
        index, seed = draw if isinstance(draw, Draw) else Draw(draw, (draw,))
        waveform, start, stop = self._heard(index, seed)
        item = {
            "waveform": waveform,
            **self.facts(index),
            "lesson": self.lessons.of(index, start, stop) if self.lessons else {},
        }
        if self.graph is None:
            return item
        # Random numbers of their own: the clip itself is what it would be without them. From 1, for numpy takes a 0 at
        # the end of a seed for nothing.
        near = enumerate(self.graph.neighbours[index], start=1)
        others = [self._heard(int(other), (*seed, place))[0] for place, other in near if other >= 0]
        return {**item, "neighbours": others, "edge_weights": self.graph.weights[index]}

    def _heard(self, index: int, seed: tuple[int, ...]) -> tuple[npt.NDArray[Any], float, float]:
        """One clip as it is heard this time, and start and end of that as shares of all of it."""
        waveform: npt.NDArray[Any] = self.store[index]
        whole = len(waveform)
        if self.augment is None:
            return waveform, 0.0, 1.0
        random = np.random.default_rng(seed)
        start, stop = stretch(whole, self.augment, random)
        if self.lessons:
            start, stop = self.lessons.whole_frames(index, start, stop, whole)
        waveform = _retimed(waveform[start:stop], self.augment, random)
        if self.noise:
            waveform = self.noise(waveform, index, random)
        return waveform, start / whole, stop / whole


def collate(items: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
    """Pad clips with zeros on the right into one batch.

    Returns:
        `waveform` float32 (batch, samples), `lengths` (batch,), `labels` (batch,), UNLABELLED where there is none,
        `weights` (batch,), `known` bool (batch, classes), and targets of further outputs under their names, each
        (batch, width); of who reads `text_tokens` (batch, tokens) and `text_counts` (batch,); with a teacher any of
        `teacher_logits` (batch, classes), `teacher_dimensions` (batch, 3), `teacher_pooled` (batch, layers, width),
        `teacher_frames` (batch, frames, layers, width) with `teacher_counts` (batch,); and with a graph `edge_weights`
        (batch, neighbours), `neighbour_waveform` (batch, neighbours, samples) and `neighbour_lengths` (batch,
        neighbours)
    """
    waveform, lengths = _padded([item["waveform"] for item in items])
    batch = {"waveform": waveform, "lengths": lengths, **collate_targets(items)}
    if "neighbours" in items[0]:
        batch["edge_weights"] = torch.from_numpy(np.stack([item["edge_weights"] for item in items]))
        slots = batch["edge_weights"].shape[1]
        none = [np.zeros(0, np.float32)] * slots
        waveform, lengths = _padded([clip for item in items for clip in (*item["neighbours"], *none)[:slots]])
        batch["neighbour_waveform"] = waveform.view(len(items), slots, -1)
        batch["neighbour_lengths"] = lengths.view(len(items), slots)
    return batch


def _padded(clips: Sequence[npt.NDArray[Any]]) -> tuple[Tensor, Tensor]:
    """Pad clips to float32 (clips, samples), and their lengths (clips,)."""
    lengths = [len(clip) for clip in clips]
    # Never narrower than a clip may be cut: the front end needs a few whole windows, however short the recordings.
    waveform = np.zeros((len(clips), max(*lengths, MIN_SAMPLES)), dtype=np.float32)
    for row, clip in zip(waveform, clips, strict=True):
        row[: len(clip)] = clip
    return torch.from_numpy(waveform / FULL_SCALE), torch.tensor(lengths)


def collate_targets(items: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
    """Stack what is to be learned of a batch's clips: all that `collate` returns but their audio."""
    further = items[0]["further"]
    read = reading([item["tokens"] for item in items]) if "tokens" in items[0] else None
    return {
        **({} if read is None else {"text_tokens": read.tokens, "text_counts": read.counts}),
        **{name: torch.from_numpy(np.stack([item["further"][name] for item in items])) for name in further},
        "labels": torch.tensor([item["label"] for item in items]),
        "weights": torch.tensor([item["weight"] for item in items], dtype=torch.float32),
        "known": torch.from_numpy(np.stack([item["known"] for item in items])),
        **collate_lessons([item["lesson"] for item in items]),
    }


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Turn class numbers (batch,) into targets (batch, classes): zeros without a label, which teach labels nothing."""
    return nn.functional.one_hot(labels.clamp(min=0), classes) * (labels != UNLABELLED)[:, None].float()


def class_weights(utterances: Sequence[Utterance], power: float) -> npt.NDArray[np.float64]:
    """Weight utterances so that the classes of each corpus count alike.

    Args:
        utterances: the training material, each with its own weight
        power: 0 leaves class frequencies, 1 makes classes equal within a corpus

    Returns:
        weights that sum, within a corpus, to what its utterances' own weights sum to, shape (utterances,)
    """
    own = np.array([utterance.weight for utterance in utterances], dtype=np.float64)
    cells: dict[tuple[str, str], float] = defaultdict(float)
    for utterance in utterances:
        cells[utterance.corpus, utterance.emotion] += utterance.weight
    # a class whose every utterance weighs nothing is never drawn
    raw = np.array([item.weight * (cells[item.corpus, item.emotion] or 1.0) ** -power for item in utterances])
    for corpus in {utterance.corpus for utterance in utterances}:
        members = np.array([utterance.corpus == corpus for utterance in utterances])
        if raw[members].any():
            raw[members] *= own[members].sum() / raw[members].sum()
    return raw


class BalancedLengthSampler(Sampler[Draw]):
    """Draw every utterance as often as its weight says, in batches of similar length.

    An utterance of weight 2.3 comes twice an epoch, and a third time in 30 % of the epochs, so that little of the
    material is missed by chance, as drawing with replacement would.

    Args:
        weights: expected draws per epoch, shape (clips,)
        lengths: clip lengths in samples, shape (clips,)
        batch: utterances a batch
        seed: of the order, and of what becomes of each draw
    """

    GROUP_BATCHES = 16  # sort by length inside groups of so many batches: little padding, still random

    def __init__(self, weights: npt.NDArray[np.float64], lengths: npt.NDArray[np.int64], batch: int, seed: int) -> None:
        self.weights = weights
        self.lengths = lengths
        self.batch = batch
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        drawn = max(1, round(float(self.weights.sum())))
        # A last batch of one clip has no batch statistics.
        return drawn - 1 if drawn > 1 and drawn % self.batch == 1 else drawn

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch's order; a resumed run draws what an uninterrupted one would have drawn."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Draw]:
        random = np.random.default_rng((self.seed, self.epoch))
        repeats = np.floor(self.weights + random.random(len(self.weights))).astype(int)
        drawn = np.repeat(np.arange(len(self.weights)), repeats)
        random.shuffle(drawn)
        missing = len(self) - len(drawn)
        if missing > 0:
            share = self.weights / self.weights.sum()
            drawn = np.concatenate([drawn, random.choice(len(self.weights), missing, p=share)])
        drawn = drawn[: len(self)]
        group = self.GROUP_BATCHES * self.batch
        batches: list[npt.NDArray[np.int64]] = []
        for start in range(0, len(drawn), group):
            part = drawn[start : start + group]
            part = part[np.argsort(self.lengths[part], kind="stable")]
            batches.extend(part[i : i + self.batch] for i in range(0, len(part), self.batch))
        tail = batches.pop() if len(batches[-1]) < self.batch else None
        random.shuffle(batches)
        for place, index in enumerate(np.concatenate([*batches, *([] if tail is None else [tail])])):
            yield Draw(int(index), (self.seed, self.epoch, place))


def stretch(samples: int, augment: AugmentPart, random: np.random.Generator) -> tuple[int, int]:
    """Choose what of a clip is heard: start and end in samples."""
    spare = max(samples - MIN_SAMPLES, 0)
    start = min(int(random.uniform(0.0, augment.trim_seconds) * SAMPLE_RATE), spare // 2)
    stop = samples - min(int(random.uniform(0.0, augment.trim_seconds) * SAMPLE_RATE), spare // 2)
    longest = int(augment.max_seconds * SAMPLE_RATE)
    if stop - start > longest:
        start += int(random.uniform(0.0, stop - start - longest))
        stop = start + longest
    return start, stop


def _retimed(
    waveform: npt.NDArray[np.int16], augment: AugmentPart, random: np.random.Generator
) -> npt.NDArray[np.int16] | npt.NDArray[np.float32]:
    if augment.speed > 0 and random.random() < augment.speed_probability:
        import soxr

        speed = round(random.uniform(1.0 - augment.speed, 1.0 + augment.speed) * SPEED_STEPS)
        resampled: npt.NDArray[np.float32] = soxr.resample(
            waveform.astype(np.float32), float(speed), float(SPEED_STEPS), quality="MQ"
        )
        return resampled
    return waveform
