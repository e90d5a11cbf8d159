"""`am-softmax`: cross-entropy that asks for a margin between the right class and all others (Wang et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sercli.errors import RecipeError
from sercli.methods.base import Method, StudentShapes, TeacherShapes
from sercli.methods.terms import cross_entropy, weighted_mean


class AdditiveMarginSoftmax(Method):
    """AM-Softmax: the cosine to the right class must exceed the others by a margin.

        L = -log( exp(s (cos_y - m)) / ( exp(s (cos_y - m)) + sum over j != y of exp(s cos_j) ) )

    where s, the scale, is the classifier's (`head.scale`). Without margin it is cross-entropy. A blended target (mixup)
    takes from each of its classes that share of the margin.

    Args:
        margin: m, in cosines
        weight: factor of the term
        within_corpus: leave classes that the clip's corpus never shows out of the softmax; see `ce`
        warmup: see Method
    """

    name = "am-softmax"

    def __init__(
        self, margin: float = 0.2, weight: float = 1.0, within_corpus: bool = True, warmup: float = 0.0
    ) -> None:
        super().__init__(weight, warmup)
        self.demand(0 <= margin < 2, "margin", "from 0 to below 2, since cosines lie 2 apart at most", margin)
        self.margin = margin
        self.within_corpus = within_corpus
        self.scale = 0.0

    def connect(self, student: StudentShapes, teacher: TeacherShapes | None) -> None:
        """Take over the classifier's scale, and check that it compares directions; see Method.connect."""
        if student.scale <= 0:
            raise RecipeError(f"method.{self.name}: needs a classifier of cosines; set head.scale, for example to 30")
        self.scale = student.scale

    def terms(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Term `am-softmax`; see Method.losses."""
        targets, known = batch["targets"], batch["known"]
        known = known if self.within_corpus else torch.ones_like(known)
        logits = outputs["logits"] - self.scale * self.margin * targets
        return {self.name: weighted_mean(cross_entropy(logits, targets, known), batch["weights"])}
