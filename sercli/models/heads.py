"""What stands on a speech encoder to make it a teacher: layer weights, pooling over time, and one or several outputs.

    states (batch, layers, frames, width)
      -> learnable softmax over layers -> mean, or mean and deviation, or attentive statistics over frames
      -> hidden layer -> `logits` (emotion), `gender`, `dimensions`

Mean pooling and the weighted sum of layers commute, so a frozen encoder's states can be pooled once, cached, and mixed
later: `forward_pooled` takes what the cache holds, `forward` takes frames, and both agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sercli.fields import demand
from sercli.models.frontend import frame_mask
from sercli.models.student import AttentiveStatistics

POOLINGS = ("mean", "statistics", "attentive")
OUTPUTS = {"gender": 2, "dimensions": 3}
"""Further outputs besides the emotion classes, and their widths."""
VARIANCE_FLOOR = 1e-6
LEAST_DEVIATION = 1e-4  # of a dimension; one that never changes says nothing and must not be blown up
MOMENTUM = 0.1  # share of the newest batch in the running mean and deviation


@dataclass(frozen=True)
class HeadArguments:
    """Sizes of a head.

    Raises:
        RecipeError: a value that makes no head
    """

    pooling: str = "mean"
    """over frames: mean, statistics (mean and standard deviation) or attentive (both, weighted by a small network)"""
    hidden: int = 256
    """width of the hidden layer; 0 puts the outputs on the pooled states directly"""
    dropout: float = 0.3
    """share of pooled values and of hidden units dropped in training"""
    attention: int = 128
    """hidden width of attentive pooling"""
    scale: float = 0.0
    """logits are so many times the cosine between a clip and each class, for `am-softmax`; 0 = of a linear layer"""

    def __post_init__(self) -> None:
        demand(self.pooling in POOLINGS, "head.pooling", f"one of {', '.join(POOLINGS)}", self.pooling)
        demand(self.hidden >= 0, "head.hidden", "0 or above", self.hidden)
        demand(0 <= self.dropout < 1, "head.dropout", "from 0 to below 1", self.dropout)
        demand(self.attention >= 1, "head.attention", "at least 1", self.attention)
        demand(self.scale >= 0, "head.scale", "0 or above", self.scale)


class LayerMix(nn.Module):
    """Weighted sum of an encoder's layers (SUPERB; Yang et al. 2021): one learnable softmax weight per layer."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(layers))

    @property
    def weights(self) -> Tensor:
        """Share of each layer, sum 1, shape (layers,)."""
        return torch.softmax(self.scores, dim=0)

    def forward(self, states: Tensor) -> Tensor:
        """Mix (batch, layers, ...) to (batch, ...)."""
        mixed: Tensor = torch.tensordot(self.weights, states, dims=([0], [1]))
        return mixed


class CosineClassifier(nn.Module):
    """Logits that are `scale` times the cosine between features and one direction per class (Wang et al. 2018).

    Args:
        width: of the features
        classes: number of classes
        scale: of the logits
    """

    def __init__(self, width: int, classes: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(classes, width)))

    def forward(self, features: Tensor) -> Tensor:
        """Answer: shape (batch, width) to (batch, classes)."""
        directions, classes = nn.functional.normalize(features), nn.functional.normalize(self.weight)
        return self.scale * nn.functional.linear(directions, classes)


class TeacherHead(nn.Module):
    """Classes and further outputs from an encoder's hidden states.

    Args:
        arguments: sizes
        layers: number of layers it is given
        width: of a state
        classes: number of emotion classes
        outputs: names in OUTPUTS of what else it says
    """

    def __init__(
        self, arguments: HeadArguments, layers: int, width: int, classes: int, outputs: tuple[str, ...] = ()
    ) -> None:
        super().__init__()
        self.arguments = arguments
        self.mix = LayerMix(layers)
        pooled = width if arguments.pooling == "mean" else 2 * width
        self.pool = AttentiveStatistics(width, arguments.attention) if arguments.pooling == "attentive" else None
        # Encoders' dimensions differ in size by orders of magnitude; the running mean and deviation even them out.
        self.norm = nn.BatchNorm1d(pooled, eps=LEAST_DEVIATION**2, affine=False)
        self.dropout = nn.Dropout(arguments.dropout)
        self.hidden = nn.Linear(pooled, arguments.hidden) if arguments.hidden else None
        self.embedding = arguments.hidden or pooled  # width
        self.further = {name: OUTPUTS[name] for name in outputs}
        widths = {"logits": classes, **self.further}
        self.outputs = nn.ModuleDict({name: nn.Linear(self.embedding, wide) for name, wide in widths.items()})
        if arguments.scale > 0:
            self.outputs["logits"] = CosineClassifier(self.embedding, classes, arguments.scale)

    def forward(self, states: Tensor, counts: Tensor) -> dict[str, Tensor]:
        """Answer from frames.

        Args:
            states: shape (batch, layers, frames, width)
            counts: frames per clip, shape (batch,)

        Returns:
            `logits` (batch, classes), further outputs, and `embedding` (batch, hidden)
        """
        mask = frame_mask(counts, states.shape[2])[:, None, :].to(states.dtype)
        if self.pool is not None:
            return self._answer(self.pool(self.mix(states).transpose(1, 2), mask))
        return self.forward_pooled(pool_states(states, counts, self.arguments.pooling))

    def forward_pooled(self, pooled: Tensor) -> dict[str, Tensor]:
        """Answer from states that are pooled over time already, shape (batch, layers, width or 2 width)."""
        return self._answer(self.mix(pooled))

    def _answer(self, pooled: Tensor) -> dict[str, Tensor]:
        features = self.dropout(self._normed(pooled))
        if self.hidden is not None:
            features = self.dropout(torch.relu(self.hidden(features)))
        return {**{name: output(features) for name, output in self.outputs.items()}, "embedding": features}

    def _normed(self, pooled: Tensor) -> Tensor:
        """Standardise; one clip alone, the rest of an epoch, has no deviation, and the running figures stand in."""
        if len(pooled) > 1 or not self.training:
            # The first batches count alike: their own figures, not those the module starts with, hold from the start.
            self.norm.momentum = max(MOMENTUM, 1.0 / (int(self.norm.num_batches_tracked or 0) + 1))
            normed: Tensor = self.norm(pooled)
            return normed
        return nn.functional.batch_norm(pooled, self.norm.running_mean, self.norm.running_var, eps=self.norm.eps)


def pool_states(states: Tensor, counts: Tensor, pooling: str) -> Tensor:
    """Pool every layer over the valid frames.

    Args:
        states: shape (batch, layers, frames, width)
        counts: frames per clip, shape (batch,)
        pooling: mean, or statistics for mean and standard deviation

    Returns:
        shape (batch, layers, width), or (batch, layers, 2 width)
    """
    mask = frame_mask(counts, states.shape[2])[:, None, :, None].to(states.dtype)
    frames = counts[:, None, None].clamp(min=1).to(states.dtype)
    mean = (states * mask).sum(dim=2) / frames
    if pooling == "mean":
        return mean
    variance = (((states - mean[:, :, None]) * mask) ** 2).sum(dim=2) / frames
    return torch.cat([mean, torch.sqrt(variance + VARIANCE_FLOOR)], dim=-1)
