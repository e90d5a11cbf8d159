"""Batch norm over the batch of all processes, on CPU as on GPU (torch's own SyncBatchNorm runs on GPUs only).

Every process adds its sums to those of the others, so that mean and variance are those of the whole batch (Ioffe and
Szegedy 2015, arXiv 1502.03167, algorithm 1) and training does not depend on how many processes share it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm


class GlobalBatchNorm(_BatchNorm):
    """Takes the place of nn.BatchNorm1d or 2d, with its parameters and its names in checkpoints."""

    @classmethod
    def of(cls, norm: _BatchNorm) -> GlobalBatchNorm:
        """Take over a batch norm."""
        made = cls(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        made.load_state_dict(norm.state_dict())
        for own, theirs in zip(made.parameters(), norm.parameters(), strict=True):
            own.requires_grad_(theirs.requires_grad)
        return made.train(norm.training)

    def forward(self, values: Tensor) -> Tensor:
        """Normalise values, shape (batch, features, ...)."""
        if not self.training:
            return super().forward(values)
        axes = [axis for axis in range(values.ndim) if axis != 1]
        exact = values.float()
        count = torch.tensor([values.numel() / values.shape[1]], device=values.device)
        parts = torch.cat([exact.sum(axes), exact.square().sum(axes), count])
        sums: Tensor = all_reduce(parts)  # type: ignore[no-untyped-call]
        mean, square, total = sums[: self.num_features], sums[self.num_features : -1], sums[-1]
        mean, square = mean / total, square / total
        variance = (square - mean.square()).clamp_min(0.0)
        if self.track_running_stats:
            self._remember(mean.detach(), (variance * total / (total - 1.0)).detach())
        shape = [1, -1] + [1] * (values.ndim - 2)
        normal: Tensor = (exact - mean.view(shape)) * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(values.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        momentum = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of further axes."""


def with_global_norms(module: nn.Module) -> nn.Module:
    """Replace every batch norm below a module, in place."""
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            setattr(module, name, GlobalBatchNorm.of(child))
        else:
            with_global_norms(child)
    return module
