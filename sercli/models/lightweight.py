"""`cnn6`, `vgg15`, `resnet9` and `mobilenet15`: the plain convolutional networks that NSL trains, in one size each.

Chang et al. 2023, "Knowledge Transfer For On-Device Speech Emotion Recognition with Neural Structured Learning"
(arXiv 2210.14977), as in the authors' code: convolutions without bias, batch norms, a global average over bands and
frames, `fc1`, 256 units with ReLU, which is the utterance embedding, and `fc2`, the logits. With 64 bands and 7 classes
they have its counts of parameters, in which a batch norm has four to a channel: two that are trained, two that run.

Ours: frames are those of the project's front end, normalised by clip and not by training set (32 ms each 16 ms, as
theirs); any length in place of 373 frames; what the poolings leave over at the end is kept, so that a clip of one frame
works. Frames are zero in the padding after every layer, and the global average leaves the padding out.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sercli.models.frontend import frame_mask
from sercli.models.student import LogMelArguments, Stage, StudentNetwork, strided

FrameMaps = tuple[Tensor, Tensor]
"""Maps, zero in the padding, shape (batch, channels, bands, frames), and frames per clip, shape (batch,)."""


@dataclass(frozen=True)
class LightweightArguments(LogMelArguments):
    """Sizes that the four have in common; stored in a bundle's config."""

    embedding: int = 256
    """width of the utterance embedding, `fc1`"""
    dropout: float = 0.0
    """share of the pooled values dropped in training"""
    window_ms: int = 32
    """of a frame, in milliseconds"""
    hop_ms: int = 16
    """from one frame to the next, in milliseconds"""


@dataclass(frozen=True)
class Cnn6Arguments(LightweightArguments):
    """Sizes of a `cnn6` student."""

    channels: tuple[int, ...] = (64, 128, 256, 512)
    """of the 5x5 convolutions, each with a pooling behind it"""


@dataclass(frozen=True)
class Vgg15Arguments(LightweightArguments):
    """Sizes of a `vgg15` student."""

    blocks: tuple[tuple[int, int], ...] = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
    """(channels, how many 3x3 convolutions), each with a pooling behind it"""


@dataclass(frozen=True)
class Resnet9Arguments(LightweightArguments):
    """Sizes of a `resnet9` student."""

    stem: int = 64
    """channels of the 7x7 convolution, which halves bands and frames, as the pooling behind it does"""
    channels: tuple[int, ...] = (128, 256, 512)
    """of the residual blocks, each of which halves bands and frames"""


@dataclass(frozen=True)
class Mobilenet15Arguments(LightweightArguments):
    """Sizes of a `mobilenet15` student."""

    dropout: float = 0.2
    """share of the pooled values dropped in training"""
    stem: int = 64
    """channels of the 3x3 convolution, which halves bands and frames"""
    blocks: tuple[tuple[int, int], ...] = ((128, 1), (128, 2), (256, 1), (256, 2), (512, 1), (512, 2))
    """depthwise-separable blocks: (channels, stride over bands and frames)"""


class Convolution(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.convolution = nn.Conv2d(
            inputs, outputs, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False
        )
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, maps: Tensor, counts: Tensor) -> FrameMaps:
        """Map (batch, inputs, bands, frames), zero in the padding, to (batch, outputs, bands', frames')."""
        return _inside(torch.relu(self.norm(self.convolution(maps))), strided(counts, self.stride))


class MaxPool(nn.Module):
    """Halves bands and frames of maps that are nowhere below zero; the last odd one stays."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, maps: Tensor, counts: Tensor) -> FrameMaps:
        """Map (batch, channels, bands, frames), zero in the padding, to half of it, rounded up."""
        if self.kernel == 2:  # the window over the end sees zeros there, as it does in a padded batch
            maps, padding = nn.functional.pad(maps, (0, 1, 0, 1)), 0
        else:
            padding = self.kernel // 2
        return _inside(nn.functional.max_pool2d(maps, self.kernel, stride=2, padding=padding), strided(counts, 2))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, the first of stride 2, beside a 1x1 shortcut of stride 2 without batch norm."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = Convolution(inputs, outputs, 3, stride=2)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=2, bias=False)

    def forward(self, maps: Tensor, counts: Tensor) -> FrameMaps:
        """Map (batch, inputs, bands, frames), zero in the padding, to half of its bands and frames."""
        hidden, left = self.first(maps, counts)
        return _inside(torch.relu(self.second_norm(self.second(hidden)) + self.shortcut(maps)), left)


class LightweightNetwork(StudentNetwork):
    """Log-mel front end, layers in blocks, global average, `fc1` with ReLU, `fc2`.

    Args:
        arguments: sizes
        classes: number of emotion classes
        blocks: layers of each block
        widths: channels behind each block
    """

    def __init__(
        self,
        arguments: LightweightArguments,
        classes: int,
        blocks: Iterable[Iterable[nn.Module]],
        widths: Iterable[int],
    ) -> None:
        super().__init__(arguments, classes)
        self.widths = tuple(widths)
        self.blocks = nn.ModuleList(nn.ModuleList(layers) for layers in blocks)
        self.dropout = nn.Dropout(arguments.dropout)
        self.embedding = nn.Linear(self.widths[-1], arguments.embedding)
        self.classifier = nn.Linear(arguments.embedding, classes)

    @property
    def stages(self) -> dict[str, int]:
        """Width of the frame-level features at each depth, for distillation; `frames` is the deepest."""
        names = [f"block{number}" for number in range(1, len(self.widths))]
        return dict(zip([*names, "frames"], self.widths, strict=True))

    def body(self, log_mel: Tensor, counts: Tensor, stages: dict[str, Stage] | None = None) -> dict[str, Tensor]:
        """Everything after the front end; see StudentNetwork.body."""
        maps = log_mel.transpose(1, 2)[:, None]
        for name, layers in zip(self.stages, self.blocks, strict=True):
            assert isinstance(layers, nn.ModuleList)
            for layer in layers:
                maps, counts = layer(maps, counts)
            if stages is not None:
                stages[name] = maps.mean(dim=2).transpose(1, 2), counts
        # Sums over time in full precision, whatever the layers were trained in.
        pooled = maps.float().mean(dim=2).sum(dim=2) / counts[:, None].float()
        embedding = torch.relu(self.embedding(self.dropout(pooled)))
        return self.said(self.classifier(embedding), embedding)


class Cnn6(LightweightNetwork):
    """5x5 convolutions, each with a pooling behind it."""

    def __init__(self, arguments: Cnn6Arguments, classes: int) -> None:
        pairs = _pairs(1, arguments.channels)
        blocks = [(Convolution(inputs, outputs, 5), MaxPool(2)) for inputs, outputs in pairs]
        super().__init__(arguments, classes, blocks, arguments.channels)


class Vgg15(LightweightNetwork):
    """Blocks of 3x3 convolutions with a pooling behind them."""

    def __init__(self, arguments: Vgg15Arguments, classes: int) -> None:
        widths = [channels for channels, _ in arguments.blocks]
        blocks = [
            (
                Convolution(inputs, channels, 3),
                *(Convolution(channels, channels, 3) for _ in range(convolutions - 1)),
                MaxPool(2),
            )
            for (inputs, _), (channels, convolutions) in zip(_pairs(1, widths), arguments.blocks, strict=True)
        ]
        super().__init__(arguments, classes, blocks, widths)


class Resnet9(LightweightNetwork):
    """A 7x7 convolution and a pooling, then residual blocks."""

    def __init__(self, arguments: Resnet9Arguments, classes: int) -> None:
        stem = (Convolution(1, arguments.stem, 7, stride=2), MaxPool(3))
        residual = [(ResidualBlock(*pair),) for pair in _pairs(arguments.stem, arguments.channels)]
        super().__init__(arguments, classes, [stem, *residual], [arguments.stem, *arguments.channels])


class Mobilenet15(LightweightNetwork):
    """A 3x3 convolution, then depthwise-separable blocks."""

    def __init__(self, arguments: Mobilenet15Arguments, classes: int) -> None:
        widths = [channels for channels, _ in arguments.blocks]
        separable = [
            (Convolution(inputs, inputs, 3, stride, groups=inputs), Convolution(inputs, channels, 1))
            for (inputs, _), (channels, stride) in zip(_pairs(arguments.stem, widths), arguments.blocks, strict=True)
        ]
        stem = (Convolution(1, arguments.stem, 3, stride=2),)
        super().__init__(arguments, classes, [stem, *separable], [arguments.stem, *widths])


def _pairs(first: int, widths: Iterable[int]) -> list[tuple[int, int]]:
    """Channels before and behind each block."""
    return list(itertools.pairwise([first, *widths]))


def _inside(maps: Tensor, counts: Tensor) -> FrameMaps:
    """Put zeros into the padding."""
    return maps * frame_mask(counts, maps.shape[3])[:, None, None, :].to(maps.dtype), counts
