"""`conformer`: self-attention and convolution over 40-ms frames (Gulati et al. 2020, "Conformer").

Two strided convolutions leave a quarter of the frames; every block is half a feed-forward, self-attention whose keys
are masked, a depthwise convolution along time, and another half feed-forward. There is no position encoding: the
convolutions tell neighbours apart, and a clip's emotion does not depend on where in it a frame stands. The frames are
pooled by attentive statistics.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sercli.errors import RecipeError
from sercli.models.cnn import SeparableBlock
from sercli.models.frontend import frame_mask
from sercli.models.student import AttentiveArguments, AttentiveStudent, Stage, demand_odd, strided


@dataclass(frozen=True)
class ConformerArguments(AttentiveArguments):
    """Sizes of a `conformer` student; stored in its bundle's config."""

    stem: int = 24
    """channels of the two convolutions that subsample bands and frames by four"""
    width: int = 96
    """of a frame's vector"""
    blocks: int = 3
    """conformer blocks"""
    heads: int = 4
    """of self-attention; they share the width"""
    expansion: float = 2.0
    """inner width of a feed-forward as a multiple of `width`"""
    kernel: int = 15
    """frames that the depthwise convolution sees"""
    block_dropout: float = 0.1
    """share of inner values dropped in training"""

    def __post_init__(self) -> None:
        demand_odd("kernel", self.kernel)
        if self.heads < 1 or self.width % self.heads:
            raise RecipeError(f"student.arguments.heads: must divide the width of {self.width}, not {self.heads!r}")


SIZES: dict[str, ConformerArguments] = {
    # 42 k parameters
    "nano": ConformerArguments(stem=8, width=32, blocks=2, heads=2, attention=16, embedding=48),
    # 0.46 M parameters
    "micro": ConformerArguments(stem=24, width=92, blocks=3, heads=4, attention=48, embedding=96),
    # 3.1 M parameters
    "small": ConformerArguments(stem=48, width=192, blocks=5, heads=4, attention=96, embedding=192),
}


class SelfAttention(nn.Module):
    """Multi-head self-attention over the frames of a clip."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(width, 3 * width)
        self.merge = nn.Linear(width, width)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Map (batch, frames, width) to the same shape; frames outside mask (batch, frames, 1) are not looked at."""
        split = self.project(features).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = split.unbind(0)  # (batch, heads, frames, width / heads)
        scores = (query @ key.transpose(2, 3)).float() / query.shape[3] ** 0.5
        weights = torch.softmax(scores - 1e4 * (1.0 - mask[:, None, None, :, 0].float()), dim=3)
        heard: Tensor = self.merge((weights.to(value.dtype) @ value).transpose(1, 2).flatten(2))
        return heard


class ConvolutionModule(nn.Module):
    """Gated pointwise convolution, depthwise convolution along time, batch norm, SiLU, pointwise convolution."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, 2 * width)
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width, bias=False)
        self.depthwise_norm = nn.BatchNorm1d(width)
        self.pointwise = nn.Linear(width, width)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Map (batch, frames, width) under mask (batch, frames, 1) to the same shape."""
        hidden = nn.functional.glu(self.gate(features), dim=2) * mask
        hidden = self.depthwise_norm(self.depthwise(hidden.transpose(1, 2))).transpose(1, 2)
        moved: Tensor = self.pointwise(nn.functional.silu(hidden))
        return moved


class ConformerBlock(nn.Module):
    """Half a feed-forward, self-attention, convolution, half a feed-forward, each a residual; layer norm."""

    def __init__(self, arguments: ConformerArguments) -> None:
        super().__init__()
        width = arguments.width
        self.first = _feed_forward(arguments)
        self.attention_norm = nn.LayerNorm(width)
        self.attention = SelfAttention(width, arguments.heads)
        self.convolution_norm = nn.LayerNorm(width)
        self.convolution = ConvolutionModule(width, arguments.kernel)
        self.second = _feed_forward(arguments)
        self.dropout = nn.Dropout(arguments.block_dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Map (batch, frames, width) to the same shape, zero outside mask (batch, frames, 1)."""
        features = features + 0.5 * self.dropout(self.first(features))
        features = features + self.dropout(self.attention(self.attention_norm(features), mask))
        features = features + self.dropout(self.convolution(self.convolution_norm(features), mask))
        features = features + 0.5 * self.dropout(self.second(features))
        normed: Tensor = self.norm(features) * mask
        return normed


def _feed_forward(arguments: ConformerArguments) -> nn.Sequential:
    width, inner = arguments.width, round(arguments.width * arguments.expansion)
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, inner),
        nn.SiLU(),
        nn.Dropout(arguments.block_dropout),
        nn.Linear(inner, width),
    )


class Conformer(AttentiveStudent):
    """Log-mel front end, convolutional subsampling, conformer blocks, attentive statistics, classes.

    Args:
        arguments: sizes
        classes: number of emotion classes
    """

    arguments: ConformerArguments

    def __init__(self, arguments: ConformerArguments, classes: int) -> None:
        super().__init__(arguments, classes)
        self.stem = nn.Conv2d(1, arguments.stem, 3, stride=2, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(arguments.stem)
        self.subsample = SeparableBlock(arguments.stem, arguments.stem, 2, 2)
        self.frame = nn.Linear(arguments.stem * -(-arguments.mels // 4), arguments.width)
        self.blocks = nn.ModuleList(ConformerBlock(arguments) for _ in range(arguments.blocks))
        self.add_head(arguments.width, arguments.attention)

    @property
    def stages(self) -> dict[str, int]:
        """Width of the frame-level features at each depth, for distillation; `frames` is the deepest."""
        names = [f"block{number}" for number in range(1, self.arguments.blocks)]
        return dict.fromkeys([*names, "frames"], self.arguments.width)

    def body(self, log_mel: Tensor, counts: Tensor, stages: dict[str, Stage] | None = None) -> dict[str, Tensor]:
        """Everything after the front end; see StudentNetwork.body."""
        features = self.stem_norm(self.stem(log_mel.transpose(1, 2)[:, None]))
        counts = strided(counts, 2)
        mask = frame_mask(counts, features.shape[3])[:, None, None, :].to(features.dtype)
        features = self.subsample(torch.relu(features) * mask)
        counts = strided(counts, 2)
        mask = frame_mask(counts, features.shape[3])[:, :, None].to(features.dtype)
        features = self.frame(features.flatten(1, 2).transpose(1, 2)) * mask
        for name, block in zip(self.stages, self.blocks, strict=True):
            features = block(features, mask)
            if stages is not None:
                stages[name] = features, counts
        return self.answer(features.transpose(1, 2), mask.transpose(1, 2))
