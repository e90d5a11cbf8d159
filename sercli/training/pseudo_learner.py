"""A frame labeller in training: clips cut at whole frames with the numbers of those frames, and its loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from sercli.audio import SAMPLE_RATE
from sercli.models.teacher import FrameLabeller
from sercli.training.data import Draw, stretch
from sercli.training.lessons import Lessons
from sercli.training.recipe import AugmentPart
from sercli.training.store import FULL_SCALE, AudioStore
from sercli.training.trainee import Trainee

Numbers = npt.NDArray[np.int32]
"""Of the frames of a clip, by scale, shape (frames, scales)."""

NO_FRAME = -1  # number in the padding


class LabelledFrames(Dataset[dict[str, Any]]):
    """Clips with the numbers of their frames; in training cut at random, always between two frames.

    Args:
        source: audio, or the states below the trained layers
        numbers: clip by clip
        frame_rate: of the encoder, in frames a second
        augment: how clips are cut; None leaves them whole
    """

    def __init__(
        self,
        source: AudioStore | Lessons,
        numbers: Sequence[Numbers],
        frame_rate: float,
        augment: AugmentPart | None = None,
    ) -> None:
        self.source = source
        self.numbers = numbers
        self.hop = round(SAMPLE_RATE / frame_rate)
        self.augment = augment
        self.lengths = np.array([len(clip) for clip in numbers], np.int64)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, draw: Draw | int) -> dict[str, Any]:
        """One clip: `waveform` (samples,) or `states` (frames, width), and the `numbers` (frames, scales) of both."""
        index, seed = draw if isinstance(draw, Draw) else Draw(draw, (draw,))
        numbers = self.numbers[index]
        first, end = 0, len(numbers)
        if self.augment is not None:
            start, stop = stretch(end * self.hop, self.augment, np.random.default_rng(seed))
            first, end = start // self.hop, -(-stop // self.hop)
        item: dict[str, Any] = {"numbers": numbers[first:end]}
        if isinstance(self.source, AudioStore):
            # A frame's window reaches beyond its hop, so the last of a cut may be lost; the loss counts those heard.
            last = None if end == len(numbers) else end * self.hop
            return {**item, "waveform": self.source[index][first * self.hop : last]}
        assert self.source.frames is not None
        return {**item, "states": self.source.frames(index)[first:end, 0]}


def collate_frames(items: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
    """Pad clips into one batch.

    Returns:
        `heard`, float32 (batch, samples) or (batch, frames, width), `lengths` (batch,) of it, and `labels`, int64
        (batch, frames, scales), NO_FRAME in the padding
    """
    kind = "waveform" if "waveform" in items[0] else "states"
    factor = 1.0 / FULL_SCALE if kind == "waveform" else 1.0
    heard = [torch.from_numpy(factor * item[kind].astype(np.float32)) for item in items]
    labels = [torch.from_numpy(item["numbers"].astype(np.int64)) for item in items]
    return {
        "heard": pad_sequence(heard, batch_first=True),
        "lengths": torch.tensor([len(clip) for clip in heard]),
        "labels": pad_sequence(labels, batch_first=True, padding_value=NO_FRAME),
    }


class LabellerLearner(Trainee[FrameLabeller]):
    """Loss of a frame labeller: cross-entropy with the numbers, mean over frames, mean over scales."""

    def forward(self, heard: Tensor, lengths: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Run one batch, as of `collate_frames`; with masks only the hidden frames count.

        Returns:
            `loss`
        """
        said, hidden, counts = self.network(heard, lengths)
        frames = min(labels.shape[1], hidden.shape[1])
        place = torch.arange(frames, device=counts.device)
        counted = (labels[:, :frames, 0] != NO_FRAME) & (place < counts[:, None])
        if self.network.filler is not None:
            counted = counted & hidden[:, :frames]
        terms = {
            name: nn.functional.cross_entropy(logits[:, :frames][counted].float(), labels[:, :frames, scale][counted])
            / len(said)
            for scale, (name, logits) in enumerate(said.items())
        }
        return {"loss": self.total(terms)}
