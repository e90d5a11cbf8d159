"""`cnn-attention`: a compact depthwise-separable network with attentive statistics pooling.

A strided stem, separable blocks over (mels, frames), a projection of all bands of a frame to one vector,
residual blocks over time alone that see about a second of prosody, and a pooling that learns which
frames carry the emotion (attentive mean and deviation; Okabe et al. 2018). Batch norms follow every convolution
and fold into it at export.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sercli.models.frontend import frame_mask
from sercli.models.student import AttentiveArguments, AttentiveStudent, Stage, strided


@dataclass(frozen=True)
class ConvArguments(AttentiveArguments):
    """Sizes of a student that starts with separable blocks over (mels, frames)."""

    stem: int = 32
    """channels of the 5x5 stem, which halves bands and frames"""
    blocks: tuple[tuple[int, int, int], ...] = ()
    """separable blocks: (channels, stride over bands, stride over frames)"""
    frame_channels: int = 192
    """width of the vector that describes one frame"""


@dataclass(frozen=True)
class CnnArguments(ConvArguments):
    """Sizes of a `cnn-attention` student; stored in its bundle's config."""

    context: int = 2
    """residual blocks over time"""
    context_kernel: int = 9
    """frames that one such block sees"""


SIZES: dict[str, CnnArguments] = {
    # 46 k parameters
    "nano": CnnArguments(
        mels=96,
        stem=16,
        blocks=((24, 2, 2), (32, 2, 1), (48, 2, 1), (48, 1, 1)),
        frame_channels=64,
        context=2,
        attention=32,
        embedding=48,
    ),
    # 0.30 M parameters
    "micro": CnnArguments(
        mels=96,
        window_ms=32,
        hop_ms=16,
        stem=32,
        blocks=((48, 2, 2), (48, 1, 1), (96, 2, 1), (96, 1, 1), (160, 2, 1)),
        frame_channels=160,
        context=2,
        attention=48,
        embedding=96,
    ),
    # 1.4 M parameters
    "small": CnnArguments(
        mels=96,
        window_ms=32,
        hop_ms=16,
        stem=48,
        blocks=((64, 2, 2), (64, 1, 1), (128, 2, 1), (128, 1, 1), (256, 2, 1), (256, 1, 1)),
        frame_channels=384,
        context=3,
        attention=96,
        embedding=192,
    ),
}


class SeparableBlock(nn.Module):
    """Depthwise 3x3, then pointwise convolution, with a residual path where the shape allows it."""

    def __init__(self, inputs: int, outputs: int, band_stride: int, frame_stride: int) -> None:
        super().__init__()
        self.frame_stride: int = frame_stride
        self.depthwise = nn.Conv2d(
            inputs, inputs, 3, stride=(band_stride, frame_stride), padding=1, groups=inputs, bias=False
        )
        self.depthwise_norm = nn.BatchNorm2d(inputs)
        self.pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.pointwise_norm = nn.BatchNorm2d(outputs)
        self.residual = inputs == outputs and band_stride == frame_stride == 1

    def forward(self, features: Tensor) -> Tensor:
        """Map (batch, inputs, bands, frames), zero in the padding, to (batch, outputs, bands', frames')."""
        hidden = torch.relu(self.depthwise_norm(self.depthwise(features)))
        hidden = self.pointwise_norm(self.pointwise(hidden))
        return torch.relu(hidden + features) if self.residual else torch.relu(hidden)


class ContextBlock(nn.Module):
    """Residual depthwise-separable convolution along time."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)
        self.depthwise_norm = nn.BatchNorm1d(channels)
        self.pointwise = nn.Conv1d(channels, channels, 1, bias=False)
        self.pointwise_norm = nn.BatchNorm1d(channels)

    def forward(self, features: Tensor) -> Tensor:
        """Map (batch, channels, frames), zero in the padding, to the same shape."""
        hidden = torch.relu(self.depthwise_norm(self.depthwise(features)))
        return torch.relu(features + self.pointwise_norm(self.pointwise(hidden)))


class ConvStudent(AttentiveStudent):
    """A student that starts with a strided stem, separable blocks and a projection of all bands to one vector."""

    arguments: ConvArguments

    def __init__(self, arguments: ConvArguments, classes: int) -> None:
        super().__init__(arguments, classes)
        self.stem = nn.Conv2d(1, arguments.stem, 5, stride=2, padding=2, bias=False)
        self.stem_norm = nn.BatchNorm2d(arguments.stem)
        blocks, inputs, bands = [], arguments.stem, _bands_after(arguments.mels, 2)
        for outputs, band_stride, frame_stride in arguments.blocks:
            blocks.append(SeparableBlock(inputs, outputs, band_stride, frame_stride))
            inputs, bands = outputs, _bands_after(bands, band_stride)
        self.blocks = nn.ModuleList(blocks)
        self.frame = nn.Conv1d(inputs * bands, arguments.frame_channels, 1, bias=False)
        self.frame_norm = nn.BatchNorm1d(arguments.frame_channels)

    @property
    def stages(self) -> dict[str, int]:
        """Width of the frame-level features at each depth, for distillation; `frames` is the deepest."""
        blocks = {f"block{number}": outputs for number, (outputs, _, _) in enumerate(self.arguments.blocks, start=1)}
        return {**blocks, "frames": self.arguments.frame_channels}

    def frames(self, log_mel: Tensor, counts: Tensor, stages: dict[str, Stage] | None) -> tuple[Tensor, Tensor, Tensor]:
        """Map log-mel frames to one vector each.

        Args:
            log_mel: as for `body`, shape (batch, frames, mels)
            counts: frames per clip, shape (batch,)
            stages: if given, gets the features of every block

        Returns:
            features, zero in the padding, shape (batch, frame_channels, frames'); their mask, shape (batch, 1,
            frames'); frames per clip, shape (batch,)
        """
        features = self.stem_norm(self.stem(log_mel.transpose(1, 2)[:, None]))
        counts = strided(counts, 2)
        mask = frame_mask(counts, features.shape[-1])[:, None, None, :].to(features.dtype)
        features = torch.relu(features) * mask
        for number, block in enumerate(self.blocks, start=1):
            assert isinstance(block, SeparableBlock)
            features = block(features)
            if block.frame_stride != 1:
                counts = strided(counts, block.frame_stride)
                mask = frame_mask(counts, features.shape[-1])[:, None, None, :].to(features.dtype)
            features = features * mask
            if stages is not None:
                stages[f"block{number}"] = features.mean(dim=2).transpose(1, 2), counts
        mask = mask[:, 0]
        return torch.relu(self.frame_norm(self.frame(features.flatten(1, 2)))) * mask, mask, counts


class CnnAttention(ConvStudent):
    """The whole student: log-mel front end, separable blocks, time context, attentive statistics, classes.

    Args:
        arguments: sizes
        classes: number of emotion classes
    """

    arguments: CnnArguments

    def __init__(self, arguments: CnnArguments, classes: int) -> None:
        super().__init__(arguments, classes)
        self.context = nn.ModuleList(
            ContextBlock(arguments.frame_channels, arguments.context_kernel) for _ in range(arguments.context)
        )
        self.add_head(arguments.frame_channels, arguments.attention)

    def body(self, log_mel: Tensor, counts: Tensor, stages: dict[str, Stage] | None = None) -> dict[str, Tensor]:
        """Everything after the front end; see StudentNetwork.body."""
        features, mask, counts = self.frames(log_mel, counts, stages)
        for block in self.context:
            features = block(features) * mask
        if stages is not None:
            stages["frames"] = features.transpose(1, 2), counts
        return self.answer(features, mask)


def _bands_after(bands: int, stride: int) -> int:
    return (bands + stride - 1) // stride
