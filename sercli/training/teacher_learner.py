"""A teacher in training: what its head is given of each clip, and its loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sercli.audio import SAMPLE_RATE
from sercli.corpora.table import Utterance
from sercli.methods.base import Method
from sercli.methods.terms import cross_entropy, weighted_mean
from sercli.models.heads import TeacherHead
from sercli.models.teacher import Teacher
from sercli.training.augment import Augmentation
from sercli.training.data import Clips, Draw, collate, collate_targets, one_hot, stretch
from sercli.training.lessons import Lessons
from sercli.training.noise import TrainingNoise
from sercli.training.outputs import output_loss
from sercli.training.recipe import AugmentPart
from sercli.training.store import AudioStore
from sercli.training.trainee import Trainee


class TeacherClips(Clips):
    """Utterances with all that a teacher is to say of them, heard as audio or as cached states of a frozen encoder.

    Args:
        utterances: in the order of the source
        source: their audio; or states, pooled over time or frames
        labels: label set
        outputs: names of further outputs
        augment: what to do to audio; None for evaluation
        weights: loss weight per utterance, shape (clips,)
        noise: what audio is heard in, in training
        frame_rate: of states that are cut at random in training as audio is, in frames a second; 0 = they stay whole
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        source: AudioStore | Lessons,
        labels: Sequence[str],
        outputs: Sequence[str] = (),
        augment: AugmentPart | None = None,
        weights: npt.NDArray[np.float64] | None = None,
        noise: TrainingNoise | None = None,
        frame_rate: float = 0.0,
    ) -> None:
        self.frame_rate = frame_rate
        self.states = source if isinstance(source, Lessons) else None
        silence = AudioStore(np.zeros(0, np.int16), np.zeros(len(utterances) + 1, np.int64))
        store = source if isinstance(source, AudioStore) else silence
        super().__init__(utterances, store, labels, augment, weights, noise=noise, outputs=outputs)

    def __getitem__(self, draw: Draw | int) -> dict[str, Any]:
        """One clip, as of `Clips`, without its waveform where it comes as states."""
        if self.states is None:
            return super().__getitem__(draw)
        index = draw.clip if isinstance(draw, Draw) else draw
        return {**self.facts(index), "lesson": self.states.of(index, *self._share(draw))}

    def _share(self, draw: Draw | int) -> tuple[float, float]:
        """Choose what of a clip's states is heard: its ends, as shares of the clip."""
        if self.augment is None or self.frame_rate == 0 or self.states is None or self.states.frames is None:
            return 0.0, 1.0
        index, seed = draw if isinstance(draw, Draw) else Draw(draw, (draw,))
        samples = round(len(self.states.frames(index)) * SAMPLE_RATE / self.frame_rate)
        start, stop = stretch(samples, self.augment, np.random.default_rng(seed))
        return start / samples, stop / samples


def collate_teacher(items: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
    """Make a batch as `collate` does, of clips with or without waveforms."""
    return collate(items) if "waveform" in items[0] else collate_targets(items)


class TeacherLearner(Trainee[Any]):
    """Loss of a teacher in training, its answers in evaluation.

    Args:
        network: `Teacher`, which hears waveforms, or `TeacherHead` alone, which is given states
        methods: (recipe name, method); those that need no teacher and no stages
        outputs: further output to the weight of its loss
        augment: the recipe's augment section
        average: decay of the running mean of the weights; 0 keeps none
    """

    def __init__(
        self,
        network: Teacher | TeacherHead,
        methods: list[tuple[str, Method]],
        outputs: Mapping[str, float],
        augment: AugmentPart,
        average: float = 0.0,
    ) -> None:
        super().__init__(network, average)
        self.methods = nn.ModuleDict(dict(methods))
        self.output_weights = dict(outputs)
        self.outputs = ("logits", *outputs)
        self.augmentation = Augmentation(augment)

    def forward(
        self,
        labels: Tensor,
        weights: Tensor,
        known: Tensor,
        waveform: Tensor | None = None,
        lengths: Tensor | None = None,
        teacher_pooled: Tensor | None = None,
        teacher_frames: Tensor | None = None,
        teacher_counts: Tensor | None = None,
        gender: Tensor | None = None,
        dimensions: Tensor | None = None,
    ) -> dict[str, Any]:
        """Run one batch, heard in one of three ways.

        Args:
            labels: class numbers, UNLABELLED where there is none, shape (batch,)
            weights: loss weights, shape (batch,)
            known: classes that each clip's corpus has, shape (batch, classes)
            waveform: shape (batch, samples), with
            lengths: in samples, shape (batch,)
            teacher_pooled: or states of the encoder pooled over time, shape (batch, layers, width)
            teacher_frames: or of every frame, shape (batch, frames, layers, width); where layers are trained, those of
                the one below them; with
            teacher_counts: frames per clip, shape (batch,)
            gender: as of `targets_of`, where the recipe asks for that output; so the next
            dimensions: ratings

        Returns:
            `loss`, `logits` (batch, classes), and further outputs; in evaluation the loss is plain cross-entropy
        """
        targets = one_hot(labels, known.shape[1])
        states = {"teacher_pooled": teacher_pooled, "teacher_frames": teacher_frames, "teacher_counts": teacher_counts}
        heard, counts = given({"waveform": waveform, "lengths": lengths, **states})
        if not self.training:
            found = answer(self.best, heard, counts)
            loss = weighted_mean(cross_entropy(found["logits"], targets, known), weights)
            return {"loss": loss, **{name: found[name] for name in self.outputs}}
        with torch.no_grad():
            if waveform is not None:
                heard = self.augmentation.waveform(heard)
            heard, counts, order, share = self.augmentation.mixup(heard, counts)
        found = answer(self.network, heard, counts)
        batch = {
            "targets": share * targets + (1.0 - share) * targets[order],
            "known": known | known[order],
            "weights": weights,
            "epoch": torch.tensor(self.epoch, device=heard.device),
        }
        terms: dict[str, Tensor] = {}
        for method in self.methods.values():
            assert isinstance(method, Method)
            terms.update(method.losses({"logits": found["logits"], "embedding": found["embedding"]}, batch))
        for name, aim in (("gender", gender), ("dimensions", dimensions)):
            if aim is not None:
                blended = share * aim + (1.0 - share) * aim[order]
                terms[name] = self.output_weights[name] * output_loss(name, found[name], blended)
        return {"loss": self.total(terms), "logits": found["logits"]}


def given(batch: Mapping[str, Tensor | None]) -> tuple[Tensor, Tensor]:
    """Take from a batch what it has of its clips, and how much of each is no padding; names as of `TeacherLearner`."""
    waveform, frames, pooled = (batch.get(name) for name in ("waveform", "teacher_frames", "teacher_pooled"))
    lengths, counts = batch.get("lengths"), batch.get("teacher_counts")
    if waveform is not None and lengths is not None:
        return waveform, lengths
    if frames is not None and counts is not None:
        return frames.float(), counts
    assert pooled is not None
    return pooled, torch.ones(len(pooled), dtype=torch.int64, device=pooled.device)


def answer(network: Teacher | TeacherHead, heard: Tensor, counts: Tensor) -> dict[str, Tensor]:
    """Let a teacher answer waveforms, or its head alone states; arguments as `given` returns them."""
    if isinstance(network, TeacherHead) and heard.ndim == 3:
        return network.forward_pooled(heard)
    if isinstance(network, TeacherHead):
        heard = heard.transpose(1, 2)
    elif heard.ndim == 4:
        heard = heard[:, :, 0]  # of the one layer below those that are trained
    found: dict[str, Tensor] = network(heard, counts)
    return found
