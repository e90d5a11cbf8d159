"""`cnn-fmha`: a deep convolutional network with fused multi-head attention at several depths.

After head fusion (Xu, Zhang and Zhang 2020, "Improve Accuracy of Speech Emotion Recognition with Attention Head
Fusion"; code lessonxmk/head_fusion): a trunk of 3x3 convolutions behind two parallel first ones, one long in time and
one long in frequency. A head has queries, keys and values at every point of a feature map and gives
softmax(query x key) x value, all elementwise, the softmax over its channels; the heads are fused by ReLU and the mean
over heads, bands and frames.

Each of the last `sets` blocks carries an attention set of its own with its own classes: the several scales of DKDFMH
(Zhao, Wang, Wang and Schuller 2023, arXiv 2303.05134), whose layers and sizes are not published. `body` gives their
logits as `exits`, shape (batch, sets, classes), shallow to deep; `logits` and `embedding` are the deepest set's. `ce`
trains the others where its key `exits` says so, `dkdfmh` holds every set against a teacher's, or the shallower ones
against the deepest. A method that reads `logits` alone leaves the heads of the shallower sets as they were, and no
exported graph contains them.

Without a named size it has the 4 heads of 64 channels of head fusion and its trunk of 32, 48, 64 and 80 channels; with
`sets: 1` its 156 k parameters, and with `heads: 8` and `embedding: 256` its 592 k. Where it departs from that code:

- Input is the log-mel front end of all students (`mels: 40` and `window_ms: 40` are as there; the upper edge of 4 kHz
  is not a size), and whole clips under a mask in the place of 2-s segments whose logits are averaged.
- The first convolutions see 3 x `long` and have stride 2 in place of 10x2 and 2x8 without, and pooling is 3x3 in place
  of 2x2: odd kernels keep frames where they are, and half as many are less work.
- A batch norm and dropout stand between the mean and the classes, as in the other students.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sercli.errors import RecipeError
from sercli.models.frontend import frame_mask
from sercli.models.student import LogMelArguments, Stage, StudentNetwork, demand_odd, strided


@dataclass(frozen=True)
class FmhaArguments(LogMelArguments):
    """Sizes of a `cnn-fmha` student; stored in its bundle's config."""

    embedding: int = 64
    """channels of a head, which is also the width of the utterance embedding"""
    stem: int = 16
    """channels of the first convolutions, half of them each; they halve bands and frames"""
    long: int = 9
    """bands or frames that one of them sees along its long side; 3 along the other"""
    blocks: tuple[tuple[int, int], ...] = ((32, 2), (48, 2), (64, 1), (80, 1))
    """3x3 convolutions: (channels, stride of the pooling behind it)"""
    sets: int = 3
    """attention sets, one on each of the last so many blocks"""
    heads: int = 4
    """of a set"""

    def __post_init__(self) -> None:
        demand_odd("long", self.long)
        if not 1 <= self.sets <= len(self.blocks):
            wish = f"from 1 to the number of blocks, {len(self.blocks)}"
            raise RecipeError(f"student.arguments.sets: must be {wish}, not {self.sets!r}")


SIZES: dict[str, FmhaArguments] = {
    # 48 k parameters
    "nano": FmhaArguments(stem=8, blocks=((16, 2), (24, 2), (32, 1), (40, 1)), heads=2, embedding=40),
    # 0.39 M parameters
    "micro": FmhaArguments(blocks=((32, 2), (64, 2), (96, 1), (112, 1)), heads=4, embedding=64),
    # 2.3 M parameters
    "small": FmhaArguments(stem=32, blocks=((64, 2), (128, 2), (192, 1), (256, 1)), heads=4, embedding=224),
}


class FusedAttention(nn.Module):
    """An attention set: heads fused in every point of a feature map, their mean, classes."""

    def __init__(self, channels: int, heads: int, width: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        # Three convolutions, not one of three times the width: its gradient would have to be put together first.
        self.query, self.key, self.value = (nn.Conv2d(channels, heads * width, 1) for _ in range(3))
        self.norm = nn.BatchNorm1d(width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, classes)

    def forward(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map features (batch, channels, bands, frames) under mask (batch, 1, frames) to classes.

        Returns:
            logits (batch, classes), embedding (batch, width), fused frames (batch, width, frames), zero in the padding
        """
        query, key, value = (
            convolution(features).permute(0, 2, 3, 1).unflatten(3, (self.heads, -1)).float()
            for convolution in (self.query, self.key, self.value)
        )  # (batch, bands, frames, heads, width)
        # A softmax is not negative, so the ReLU of its product with the values is its product with their ReLU.
        points = torch.softmax(query * key, dim=4) * torch.relu(value)
        fused = points.sum(dim=(1, 3)).transpose(1, 2) * (mask / (self.heads * features.shape[2]))
        embedding = self.norm(fused.sum(dim=2) / mask.sum(dim=2))
        return self.classifier(self.dropout(embedding)), embedding, fused


class TrunkBlock(nn.Module):
    """3x3 convolution, batch norm, ReLU, and max pooling if it has a stride."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, features: Tensor, counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map (batch, inputs, bands, frames), zero in the padding, as `_pooled` does."""
        return _pooled(torch.relu(self.norm(self.convolution(features))), counts, self.stride)


class CnnFmha(StudentNetwork):
    """Log-mel front end, convolutional trunk, attention sets at several depths.

    Args:
        arguments: sizes
        classes: number of emotion classes
    """

    arguments: FmhaArguments

    def __init__(self, arguments: FmhaArguments, classes: int) -> None:
        super().__init__(arguments, classes)
        half, long = arguments.stem // 2, arguments.long
        self.along_time = nn.Conv2d(1, half, (3, long), stride=2, padding=(1, long // 2), bias=False)
        self.along_bands = nn.Conv2d(1, arguments.stem - half, (long, 3), stride=2, padding=(long // 2, 1), bias=False)
        self.stem_norm = nn.BatchNorm2d(arguments.stem)
        widths = [arguments.stem, *(channels for channels, _ in arguments.blocks)]
        self.blocks = nn.ModuleList(
            TrunkBlock(inputs, outputs, stride)
            for inputs, (outputs, stride) in zip(widths, arguments.blocks, strict=False)
        )
        self.sets = nn.ModuleList(
            FusedAttention(channels, arguments.heads, arguments.embedding, classes, arguments.dropout)
            for channels in widths[-arguments.sets :]
        )

    @property
    def exits(self) -> int:
        """Attention sets, each with logits of its own."""
        return self.arguments.sets

    @property
    def stages(self) -> dict[str, int]:
        """Width of the frame-level features at each depth, for distillation; `frames` is the deepest set's."""
        blocks = {f"block{number}": channels for number, (channels, _) in enumerate(self.arguments.blocks, start=1)}
        return {**blocks, "frames": self.arguments.embedding}

    def body(self, log_mel: Tensor, counts: Tensor, stages: dict[str, Stage] | None = None) -> dict[str, Tensor]:
        """Everything after the front end; see StudentNetwork.body.

        Returns:
            as `said` of the deepest set; `exits`, the logits of every set, shallow to deep, the deepest among them,
            (batch, sets, classes)
        """
        spectrum = log_mel.transpose(1, 2)[:, None]
        features = self.stem_norm(torch.cat([self.along_time(spectrum), self.along_bands(spectrum)], dim=1))
        features, mask, counts = _pooled(torch.relu(features), strided(counts, 2), 1)
        exits = []
        first = len(self.blocks) - len(self.sets)
        for number, block in enumerate(self.blocks):
            features, mask, counts = block(features, counts)
            if stages is not None:
                stages[f"block{number + 1}"] = features.mean(dim=2).transpose(1, 2), counts
            if number >= first:
                logits, embedding, fused = self.sets[number - first](features, mask)
                exits.append(logits)
        if stages is not None:
            stages["frames"] = fused.transpose(1, 2), counts
        return {**self.said(logits, embedding), "exits": torch.stack(exits, dim=1)}


def _pooled(features: Tensor, counts: Tensor, stride: int) -> tuple[Tensor, Tensor, Tensor]:
    """Max-pool bands and frames of a map that is nowhere below zero, and put zeros into its padding.

    Returns:
        features (batch, channels, bands', frames'), their mask (batch, 1, frames'), frames per clip (batch,)
    """
    if stride != 1:
        inside = frame_mask(counts, features.shape[3])[:, None, None, :].to(features.dtype)
        features = nn.functional.max_pool2d(features * inside, 3, stride=stride, padding=1)
        counts = strided(counts, stride)
    mask = frame_mask(counts, features.shape[3])[:, None, :]
    return features * mask[:, None].to(features.dtype), mask, counts
