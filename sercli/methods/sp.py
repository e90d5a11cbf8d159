"""`sp`: clips that are alike for the teacher are alike for the student (Tung and Mori, ICCV 2019, arXiv 1907.09682)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from sercli.methods.base import Method, StudentShapes, TeacherShapes
from sercli.methods.terms import unit_length


class SimilarityPreserving(Method):
    """||rownorm(S S') - rownorm(T T')||_F^2 / b^2 for the b clips of a batch.

    S are the student's embeddings, T the teacher's time-pooled states; clips count alike. Weight of
    megvii-research/mdistiller.

    Args:
        layer: of the teacher; default: its deepest one
        weight: see Method
        warmup: see Method
    """

    name = "sp"
    needs = frozenset({"pooled"})
    smallest_batch = 3

    def __init__(self, layer: int | None = None, weight: float = 3000.0, warmup: float = 0.0) -> None:
        super().__init__(weight, warmup)
        self.layers = () if layer is None else (layer,)

    def connect(self, student: StudentShapes, teacher: TeacherShapes | None) -> None:
        """Find the layer; see Method.connect."""
        (self.position,) = self.positions(self.checked(student, teacher), deepest=1)

    def terms(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Term `sp`; see Method.losses."""
        student, teacher = (
            unit_length(points @ points.T)
            for points in (outputs["embedding"], batch["teacher_pooled"][:, self.position])
        )
        return {"sp": (student - teacher).square().mean()}
