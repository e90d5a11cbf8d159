"""`ccc`: a student's arousal, valence and dominance agree with its teacher's.

1 - CCC (Lin 1989), mean of the three, between what both say of a batch: the loss of ratings, with a teacher in the
place of people.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from sercli.errors import RecipeError
from sercli.methods.base import Method, StudentShapes, TeacherShapes
from sercli.methods.terms import discordance


class Concordance(Method):
    """1 - CCC with the teacher's ratings; needs `outputs.dimensions` of the student.

    Args:
        weight: see Method
        warmup: see Method
    """

    name = "ccc"
    needs = frozenset({"dimensions"})
    smallest_batch: ClassVar[int] = 8

    def __init__(self, weight: float = 1.0, warmup: float = 0.0) -> None:
        super().__init__(weight, warmup)

    def connect(self, student: StudentShapes, teacher: TeacherShapes | None) -> None:
        """Check that both rate; see Method.connect."""
        teacher = self.checked(student, teacher)
        if not teacher.rates:
            raise RecipeError(f"method.{self.name}: the teacher rates nothing; take one with outputs.dimensions")
        if not student.rates:
            raise RecipeError(f"method.{self.name}: the student rates nothing; set outputs.dimensions")

    def terms(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Term `ccc`; see Method.losses."""
        pairs = zip(batch["teacher_dimensions"].T, outputs["dimensions"].T, strict=True)
        return {"ccc": torch.stack([discordance(aim, said) for aim, said in pairs]).mean()}
