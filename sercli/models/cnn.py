"""`cnn-attention`: a compact depthwise-separable network with attentive statistics pooling.

A strided stem, separable blocks over (mels, frames), a projection of all bands of a frame to one vector,
residual blocks over time alone that see about a second of prosody, and a pooling that learns which
frames carry the emotion (attentive mean and deviation; Okabe et al. 2018). Batch norms follow every convolution
and fold into it at export.

Padding never leaks: every operation that looks along time is given frames that are zero outside the clip, so a
clip in a padded batch sees exactly the zeros that it sees at its own end when it is alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sercli.models.frontend import LogMel, frame_mask

Stage = tuple[Tensor, Tensor]
"""Frame-level features, zero in the padding, shape (batch, frames, width), and frames per clip, shape (batch,)."""


@dataclass(frozen=True)
class CnnArguments:
    """Sizes of a `cnn-attention` student; stored in its bundle's config."""

    stem: int = 32
    """channels of the 5x5 stem, which halves bands and frames"""
    blocks: tuple[tuple[int, int, int], ...] = ()
    """separable blocks: (channels, stride over bands, stride over frames)"""
    frame_channels: int = 192
    """width of the vector that describes one frame"""
    context: int = 2
    """residual blocks over time"""
    context_kernel: int = 9
    """frames that one such block sees"""
    attention: int = 64
    """hidden width of the attention that pools the frames"""
    embedding: int = 128
    """width of the utterance embedding"""
    dropout: float = 0.2
    """share of the pooled statistics dropped in training"""
    mels: int = 64
    """mel bands"""
    per_band: bool = False
    """normalise each mel band's mean, not only the clip's"""


def _halved(counts: Tensor, stride: int) -> Tensor:
    """Frames left after a padded convolution of odd kernel with this stride."""
    return counts if stride == 1 else torch.div(counts + stride - 1, stride, rounding_mode="floor")


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


class AttentiveStatistics(nn.Module):
    """Attentive mean and standard deviation over the frames of a clip, one weight per frame and channel."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.inner = nn.Conv1d(channels, hidden, 1)
        self.outer = nn.Conv1d(hidden, channels, 1)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Pool (batch, channels, frames) under mask (batch, 1, frames) to (batch, 2 channels)."""
        scores = self.outer(torch.tanh(self.inner(features)))
        weights = torch.softmax(scores - 1e4 * (1.0 - mask), dim=-1)
        mean = (weights * features).sum(dim=-1)
        variance = (weights * (features - mean[:, :, None]) ** 2).sum(dim=-1)
        return torch.cat([mean, torch.sqrt(variance + 1e-4)], dim=-1)


class CnnAttention(nn.Module):
    """The whole student: log-mel front end, separable blocks, time context, attentive statistics, classes.

    Args:
        arguments: sizes
        classes: number of emotion classes
    """

    def __init__(self, arguments: CnnArguments, classes: int) -> None:
        super().__init__()
        self.arguments = arguments
        self.frontend = LogMel(arguments.mels, per_band=arguments.per_band)
        self.stem = nn.Conv2d(1, arguments.stem, 5, stride=2, padding=2, bias=False)
        self.stem_norm = nn.BatchNorm2d(arguments.stem)
        blocks, inputs, bands = [], arguments.stem, _bands_after(arguments.mels, 2)
        for outputs, band_stride, frame_stride in arguments.blocks:
            blocks.append(SeparableBlock(inputs, outputs, band_stride, frame_stride))
            inputs, bands = outputs, _bands_after(bands, band_stride)
        self.blocks = nn.ModuleList(blocks)
        self.frame = nn.Conv1d(inputs * bands, arguments.frame_channels, 1, bias=False)
        self.frame_norm = nn.BatchNorm1d(arguments.frame_channels)
        self.context = nn.ModuleList(
            ContextBlock(arguments.frame_channels, arguments.context_kernel) for _ in range(arguments.context)
        )
        self.pool = AttentiveStatistics(arguments.frame_channels, arguments.attention)
        self.pool_norm = nn.BatchNorm1d(2 * arguments.frame_channels)
        self.dropout = nn.Dropout(arguments.dropout)
        self.embedding = nn.Linear(2 * arguments.frame_channels, arguments.embedding)
        self.classifier = nn.Linear(arguments.embedding, classes)

    @property
    def stages(self) -> dict[str, int]:
        """Width of the frame-level features at each depth, for distillation; `frames` is the deepest."""
        blocks = {f"block{number}": outputs for number, (outputs, _, _) in enumerate(self.arguments.blocks, start=1)}
        return {**blocks, "frames": self.arguments.frame_channels}

    def body(self, log_mel: Tensor, counts: Tensor, stages: dict[str, Stage] | None = None) -> dict[str, Tensor]:
        """Everything after the front end.

        Args:
            log_mel: normalised frames, zero in the padding, shape (batch, frames, mels)
            counts: frames per clip, shape (batch,)
            stages: if given, gets the features of every stage, those of blocks averaged over bands

        Returns:
            `logits` (batch, classes) and `embedding` (batch, d)
        """
        features = self.stem_norm(self.stem(log_mel.transpose(1, 2)[:, None]))
        counts = _halved(counts, 2)
        mask = frame_mask(counts, features.shape[-1])[:, None, None, :].to(features.dtype)
        features = torch.relu(features) * mask
        for number, block in enumerate(self.blocks, start=1):
            assert isinstance(block, SeparableBlock)
            features = block(features)
            if block.frame_stride != 1:
                counts = _halved(counts, block.frame_stride)
                mask = frame_mask(counts, features.shape[-1])[:, None, None, :].to(features.dtype)
            features = features * mask
            if stages is not None:
                stages[f"block{number}"] = features.mean(dim=2).transpose(1, 2), counts
        mask = mask[:, 0]
        features = torch.relu(self.frame_norm(self.frame(features.flatten(1, 2)))) * mask
        for block in self.context:
            features = block(features) * mask
        if stages is not None:
            stages["frames"] = features.transpose(1, 2), counts
        # Sums over time in full precision, whatever the convolutions were trained in.
        pooled = self.dropout(self.pool_norm(self.pool(features.float(), mask.float())))
        embedding = torch.relu(self.embedding(pooled))
        return {"logits": self.classifier(embedding), "embedding": embedding}

    def forward(self, waveform: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Label a batch of clips.

        Args:
            waveform: mono float32 at 16 kHz, zero-padded on the right, shape (batch, samples)
            lengths: true lengths in samples, shape (batch,)

        Returns:
            `logits` (batch, classes) and `embedding` (batch, d)
        """
        return self.body(*self.frontend(waveform, lengths))


def _bands_after(bands: int, stride: int) -> int:
    return (bands + stride - 1) // stride
