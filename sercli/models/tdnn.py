"""`tdnn`: convolutions over time alone, on log-mel frames whose bands are channels.

Nearly all its work is dense matrix products on 20-ms or 40-ms frames, which is what CPUs do best. Blocks have the
order of ConvNeXt (Liu et al. 2022): depthwise convolution along time, expansion, contraction, residual sum; their
outputs are aggregated over depth and pooled by attentive statistics as in ECAPA-TDNN (Desplanques et al. 2020).

Frames are kept as (batch, channels, 1, frames), since torch lays out and runs 2-D convolutions better than 1-D ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sercli.errors import RecipeError
from sercli.models.frontend import frame_mask
from sercli.models.student import AttentiveArguments, AttentiveStudent, Stage, demand_odd, strided


@dataclass(frozen=True)
class TdnnArguments(AttentiveArguments):
    """Sizes of a `tdnn` student; stored in its bundle's config."""

    channels: int = 128
    """width of the stem and of every block's ends"""
    stride: int = 4
    """of the stem over frames: 2 leaves one per 20 ms, 4 one per 40 ms; its kernel is twice as wide and one more"""
    kernel: int = 7
    """frames that the depthwise convolution of a block sees"""
    dilations: tuple[int, ...] = (1, 2, 3)
    """one block each: distance between those frames"""
    expansion: float = 2.0
    """inner width of a block as a multiple of `channels`"""
    excitation: int = 0
    """bottleneck of the squeeze-excitation of a block (Hu et al. 2018); 0 = none"""
    frame_channels: int = 192
    """width of the vector that describes one frame, made of all blocks' outputs"""

    def __post_init__(self) -> None:
        demand_odd("kernel", self.kernel)
        if not self.dilations:
            raise RecipeError("student.arguments.dilations: needs one at least, for example [1, 2, 3]")


SIZES: dict[str, TdnnArguments] = {
    # 48 k parameters
    "nano": TdnnArguments(
        channels=48, stride=2, dilations=(1, 2, 3), expansion=1.0, frame_channels=64, attention=16, embedding=40
    ),
    # 0.47 M parameters
    "micro": TdnnArguments(channels=128, dilations=(1, 2, 3, 4), frame_channels=160, attention=48, embedding=96),
    # 3.4 M parameters
    "small": TdnnArguments(channels=320, dilations=(1, 2, 3, 4, 5), frame_channels=512, attention=96, embedding=192),
}


class SqueezeExcitation(nn.Module):
    """Scale the channels of a clip by what its mean over time says."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, hidden)
        self.excite = nn.Linear(hidden, channels)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Scale (batch, channels, 1, frames); the mean leaves out what mask (batch, 1, 1, frames) does."""
        inside = mask.float()
        mean = (features.float() * inside).sum(dim=(2, 3)) / inside.sum(dim=(2, 3))
        scale = torch.sigmoid(self.excite(torch.relu(self.squeeze(mean))))
        return features * scale[:, :, None, None].to(features.dtype)


class TdnnBlock(nn.Module):
    """Residual block: depthwise along time, expansion, contraction, and squeeze-excitation if wanted."""

    def __init__(self, channels: int, inner: int, kernel: int, dilation: int, excitation: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(
            *(channels, channels, (1, kernel)),
            padding=(0, dilation * (kernel // 2)),
            dilation=(1, dilation),
            groups=channels,
            bias=False,
        )
        self.depthwise_norm = nn.BatchNorm2d(channels)
        self.expand = nn.Conv2d(channels, inner, 1)
        self.contract = nn.Conv2d(inner, channels, 1, bias=False)
        self.contract_norm = nn.BatchNorm2d(channels)
        self.excitation = SqueezeExcitation(channels, excitation) if excitation else None

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Map (batch, channels, 1, frames), zero in the padding, to the same shape."""
        hidden = torch.relu(self.expand(self.depthwise_norm(self.depthwise(features))))
        hidden = self.contract_norm(self.contract(hidden))
        if self.excitation is not None:
            hidden = self.excitation(hidden, mask)
        return torch.relu(features + hidden) * mask


class Tdnn(AttentiveStudent):
    """Log-mel front end, strided stem, residual blocks over time, their aggregation, attentive statistics, classes.

    Args:
        arguments: sizes
        classes: number of emotion classes
    """

    arguments: TdnnArguments

    def __init__(self, arguments: TdnnArguments, classes: int) -> None:
        super().__init__(arguments, classes)
        channels, inner = arguments.channels, round(arguments.channels * arguments.expansion)
        self.stem = nn.Conv2d(
            arguments.mels,
            channels,
            (1, 2 * arguments.stride + 1),
            stride=(1, arguments.stride),
            padding=(0, arguments.stride),
            bias=False,
        )
        self.stem_norm = nn.BatchNorm2d(channels)
        self.blocks = nn.ModuleList(
            TdnnBlock(channels, inner, arguments.kernel, dilation, arguments.excitation)
            for dilation in arguments.dilations
        )
        self.frame = nn.Conv2d(channels * len(arguments.dilations), arguments.frame_channels, 1, bias=False)
        self.frame_norm = nn.BatchNorm2d(arguments.frame_channels)
        self.add_head(arguments.frame_channels, arguments.attention)

    @property
    def stages(self) -> dict[str, int]:
        """Width of the frame-level features at each depth, for distillation; `frames` is the deepest."""
        blocks = {f"block{number}": self.arguments.channels for number in range(1, len(self.blocks) + 1)}
        return {**blocks, "frames": self.arguments.frame_channels}

    def body(self, log_mel: Tensor, counts: Tensor, stages: dict[str, Stage] | None = None) -> dict[str, Tensor]:
        """Everything after the front end; see StudentNetwork.body."""
        features = self.stem_norm(self.stem(log_mel.transpose(1, 2)[:, :, None]))
        counts = strided(counts, self.arguments.stride)
        mask = frame_mask(counts, features.shape[-1])[:, None, None, :].to(features.dtype)
        features = torch.relu(features) * mask
        depths = []
        for number, block in enumerate(self.blocks, start=1):
            features = block(features, mask)
            depths.append(features)
            if stages is not None:
                stages[f"block{number}"] = features[:, :, 0].transpose(1, 2), counts
        features = torch.relu(self.frame_norm(self.frame(torch.cat(depths, dim=1)))) * mask
        if stages is not None:
            stages["frames"] = features[:, :, 0].transpose(1, 2), counts
        return self.answer(features[:, :, 0], mask[:, 0])
