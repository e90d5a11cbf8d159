"""`crnn`: the separable blocks of `cnn-attention`, then a recurrent layer that reads each clip in both directions.

Two gated recurrent units (Cho et al. 2014) read the frames, one of them backwards from the clip's own last frame:
padding comes after whatever counts in either direction. Their states are pooled by attentive statistics.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sercli.models.cnn import ConvArguments, ConvStudent
from sercli.models.student import Stage


@dataclass(frozen=True)
class CrnnArguments(ConvArguments):
    """Sizes of a `crnn` student; stored in its bundle's config."""

    hidden: int = 96
    """state of the recurrent layer in one direction"""


SIZES: dict[str, CrnnArguments] = {
    # 42 k parameters
    "nano": CrnnArguments(
        stem=16, blocks=((24, 2, 2), (32, 2, 1), (48, 2, 1)), frame_channels=56, hidden=32, attention=24, embedding=48
    ),
    # 0.31 M parameters
    "micro": CrnnArguments(
        stem=32,
        blocks=((48, 2, 2), (96, 2, 1), (128, 2, 1)),
        frame_channels=160,
        hidden=96,
        attention=48,
        embedding=96,
    ),
    # 2.2 M parameters
    "small": CrnnArguments(
        stem=64,
        blocks=((128, 2, 2), (256, 2, 1), (256, 1, 1), (384, 2, 1)),
        frame_channels=384,
        hidden=256,
        attention=128,
        embedding=256,
    ),
}


class Crnn(ConvStudent):
    """Log-mel front end, separable blocks, a recurrent layer in both directions, attentive statistics, classes.

    Args:
        arguments: sizes
        classes: number of emotion classes
    """

    arguments: CrnnArguments

    def __init__(self, arguments: CrnnArguments, classes: int) -> None:
        super().__init__(arguments, classes)
        self.forwards = nn.GRU(arguments.frame_channels, arguments.hidden, batch_first=True)
        self.backwards = nn.GRU(arguments.frame_channels, arguments.hidden, batch_first=True)
        self.add_head(2 * arguments.hidden, arguments.attention)

    @property
    def stages(self) -> dict[str, int]:
        """Width of the frame-level features at each depth, for distillation; `frames` is the deepest."""
        return {**super().stages, "frames": 2 * self.arguments.hidden}

    def body(self, log_mel: Tensor, counts: Tensor, stages: dict[str, Stage] | None = None) -> dict[str, Tensor]:
        """Everything after the front end; see StudentNetwork.body."""
        features, mask, counts = self.frames(log_mel, counts, stages)
        features = features.transpose(1, 2)
        onwards, _ = self.forwards(features)
        back, _ = self.backwards(reverse(features, counts))
        features = torch.cat([onwards, reverse(back, counts)], dim=2).transpose(1, 2) * mask
        if stages is not None:
            stages["frames"] = features.transpose(1, 2), counts
        return self.answer(features, mask)


def reverse(features: Tensor, counts: Tensor) -> Tensor:
    """Turn every clip around in time and leave its padding behind it.

    Args:
        features: shape (batch, frames, width)
        counts: frames per clip, shape (batch,)

    Returns:
        shape (batch, frames, width)
    """
    frame = torch.arange(features.shape[1], device=features.device)[None, :]
    source = torch.where(frame < counts[:, None], counts[:, None] - 1 - frame, frame)
    return features.gather(1, source[:, :, None].expand_as(features))
