"""`dist`: correlate with the teacher instead of copying it (Huang et al., NeurIPS 2022, arXiv 2205.10536)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sercli.methods.base import Method
from sercli.methods.terms import known_log_softmax, unit_length, weighted_mean


class Dist(Method):
    """beta (1 - mean Pearson of the rows) + gamma (1 - mean Pearson of the columns) of softmax(z / T).

    A row is a clip's probabilities over the classes that its corpus has; a column is the probability of one class
    over the clips whose corpus has it, left out where these are fewer than 8. Code: hunto/DIST_KD.

    Args:
        beta: factor of the term within clips
        gamma: factor of the term within classes
        temperature: T
        weight: see Method
        warmup: see Method
    """

    name = "dist"
    needs = frozenset({"logits"})
    smallest_batch = 8  # in a batch of two every column correlates with 1 or -1

    def __init__(
        self, beta: float = 1.0, gamma: float = 1.0, temperature: float = 1.0, weight: float = 1.0, warmup: float = 0.0
    ) -> None:
        super().__init__(weight, warmup)
        self.demand(temperature > 0, "temperature", "above 0", temperature)
        self.beta = beta
        self.gamma = gamma
        self.temperature = temperature

    def terms(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Terms `dist.inter` (rows) and `dist.intra` (columns), as the paper calls them; see Method.losses."""
        known = batch["known"]
        teacher, student = (
            known_log_softmax(logits / self.temperature, known).exp()
            for logits in (batch["teacher_logits"], outputs["logits"])
        )
        rows = weighted_mean(1.0 - _pearson(teacher, student, known, dim=1), batch["weights"])
        common = (known.sum(dim=0) >= self.smallest_batch).to(student.dtype)
        columns = (common * (1.0 - _pearson(teacher, student, known, dim=0))).sum() / common.sum().clamp(min=1.0)
        return {"dist.inter": self.beta * rows, "dist.intra": self.gamma * columns}


def _pearson(teacher: Tensor, student: Tensor, known: Tensor, dim: int) -> Tensor:
    """Correlate along `dim` over the known entries; 0 where one side is constant."""

    def direction(values: Tensor) -> Tensor:
        mean = torch.where(known, values, 0.0).sum(dim, keepdim=True) / known.sum(dim, keepdim=True).clamp(min=1)
        return unit_length(torch.where(known, values - mean, 0.0), dim)

    return (direction(teacher) * direction(student)).sum(dim)
