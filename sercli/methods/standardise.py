"""Teacher states with mean 0 and deviation 1 in every dimension, so that a few loud dimensions do not rule a loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SMALLEST_STD = 1e-5


class Standardise(nn.Module):
    """Standardise every dimension with given figures, or with those of all states seen in training so far.

    The running figures weigh every state alike (Chan et al. 1979), so they hardly move after the first epoch; they
    are part of the state, so a resumed run goes on with them. Ours.

    Args:
        shape: of what is standardised, (width,) or (layers, width)
        mean: of that shape; default: running
        std: of that shape; default: running
    """

    def __init__(self, shape: tuple[int, ...], mean: Tensor | None = None, std: Tensor | None = None) -> None:
        super().__init__()
        self.running = mean is None or std is None
        self.register_buffer("mean", torch.zeros(shape) if mean is None else mean.float())
        self.register_buffer("variance", torch.ones(shape) if std is None else std.float() ** 2)
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.mean: Tensor
        self.variance: Tensor
        self.count: Tensor

    def forward(self, states: Tensor, inside: Tensor | None = None) -> Tensor:
        """Standardise states.

        Args:
            states: shape (batch, *shape), or (batch, frames, *shape) with
            inside: bool, frames that are no padding, shape (batch, frames)

        Returns:
            of the same shape
        """
        if self.training and self.running:
            self._see(states if inside is None else states[inside])
        return (states - self.mean) / self.variance.sqrt().clamp(min=SMALLEST_STD)

    @torch.no_grad()
    def _see(self, states: Tensor) -> None:
        count = self.count + len(states)
        share = len(states) / count
        spread, mean = torch.var_mean(states, dim=0, correction=0)
        shift = mean - self.mean
        self.variance.copy_((1 - share) * self.variance + share * spread + share * (1 - share) * shift**2)
        self.mean.add_(share * shift)
        self.count.copy_(count)
