"""`rkd`: keep distances and angles between clips (Park et al., CVPR 2019, arXiv 1904.05068)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sercli.methods.base import Method, StudentShapes, TeacherShapes
from sercli.methods.terms import SHORTEST


class RelationalDistillation(Method):
    """Smooth-L1 on the distances of all pairs and on the angle cosines of all triples of clips of a batch.

    Points are the student's embeddings and the teacher's time-pooled states. Distances are divided by the mean of
    those that are not 0; the terms average over all b^2 pairs and all b^3 triples, zeros included; clips count alike.
    Weights of megvii-research/mdistiller.

    Args:
        layer: of the teacher; default: its deepest one
        distance: factor of the distances
        angle: factor of the angles
        weight: see Method
        warmup: see Method
    """

    name = "rkd"
    needs = frozenset({"pooled"})
    smallest_batch = 3  # two clips have one distance, which is its own mean, and no angle

    def __init__(
        self,
        layer: int | None = None,
        distance: float = 25.0,
        angle: float = 50.0,
        weight: float = 1.0,
        warmup: float = 0.0,
    ) -> None:
        super().__init__(weight, warmup)
        self.layers = () if layer is None else (layer,)
        self.distance = distance
        self.angle = angle

    def connect(self, student: StudentShapes, teacher: TeacherShapes | None) -> None:
        """Find the layer; see Method.connect."""
        (self.position,) = self.positions(self.checked(student, teacher), deepest=1)

    def terms(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Terms `rkd.distance` and `rkd.angle`; see Method.losses."""
        student, teacher = _relations(outputs["embedding"]), _relations(batch["teacher_pooled"][:, self.position])
        distance, angle = (functional.smooth_l1_loss(*pair) for pair in zip(student, teacher, strict=True))
        return {"rkd.distance": self.distance * distance, "rkd.angle": self.angle * angle}


def _relations(points: Tensor) -> tuple[Tensor, Tensor]:
    """Normalised distances (b, b), and cosines of the angle at the first point of every triple (b, b, b)."""
    differences = points[None, :, :] - points[:, None, :]
    squares = differences.square().sum(dim=2)
    apart = squares > SHORTEST**2
    lengths = torch.where(apart, squares, 1.0).sqrt()  # the square root has no gradient at 0
    directions = differences / lengths[:, :, None]
    distances = lengths * apart
    mean = distances.sum() / apart.sum().clamp(min=1)
    return distances / torch.where(mean > 0, mean, 1.0), directions @ directions.transpose(1, 2)
