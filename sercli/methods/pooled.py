"""`pooled`: regress a teacher's time-pooled layers from the student's embedding; no paper, ours."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from sercli.methods.base import Method, StudentShapes, TeacherShapes
from sercli.methods.standardise import Standardise
from sercli.methods.terms import weighted_mean


class PooledRegression(Method):
    """Mean squared error between a linear map of the embedding and the teacher's states, averaged over time.

    A clip is one vector, so neither frame rates nor alignment matter, and no label is used. The states are
    standardised per dimension, with the figures of the training clips where the teacher brings them, else with
    those of the clips seen so far: predicting nothing then costs 1.

    Args:
        layers: of the teacher; default: all that it gives
        standardise: off = take the states as they are
        weight: see Method
        warmup: see Method
    """

    name = "pooled"
    needs = frozenset({"pooled"})

    def __init__(
        self, layers: tuple[int, ...] = (), standardise: bool = True, weight: float = 1.0, warmup: float = 0.0
    ) -> None:
        super().__init__(weight, warmup)
        self.layers = layers
        self.standardises = standardise

    def connect(self, student: StudentShapes, teacher: TeacherShapes | None) -> None:
        """Build the regressor; see Method.connect."""
        teacher = self.checked(student, teacher)
        self.chosen = self.positions(teacher)
        mean, std = (None if figure is None else figure[self.chosen] for figure in (teacher.mean, teacher.std))
        shape = (len(self.chosen), teacher.width)
        if self.standardises:
            self.targets = Standardise(shape, mean, std)
        self.regressor = nn.Linear(student.embedding, math.prod(shape))

    def terms(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Term `pooled`; see Method.losses."""
        target = batch["teacher_pooled"][:, self.chosen]
        if self.standardises:
            target = self.targets(target)
        per_clip = (self.regressor(outputs["embedding"]) - target.flatten(1)).square().mean(dim=1)
        return {"pooled": weighted_mean(per_clip, batch["weights"])}
