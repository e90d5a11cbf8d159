"""`kd`: distillation of softened class probabilities (Hinton, Vinyals and Dean 2015, arXiv 1503.02531)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from sercli.methods.base import Method
from sercli.methods.terms import divergence, weighted_mean


class KnowledgeDistillation(Method):
    """T^2 KL(p_teacher || p_student) with p = softmax(z / T) over the classes that a clip's corpus has.

    Defaults of megvii-research/mdistiller, which go with `ce: {weight: 0.1}`.

    Args:
        temperature: T
        weight: see Method
        warmup: see Method
    """

    name = "kd"
    needs = frozenset({"logits"})

    def __init__(self, temperature: float = 4.0, weight: float = 0.9, warmup: float = 0.0) -> None:
        super().__init__(weight, warmup)
        self.demand(temperature > 0, "temperature", "above 0", temperature)
        self.temperature = temperature

    def terms(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One term, named like the method; see Method.losses."""
        teacher, student = (logits / self.temperature for logits in (batch["teacher_logits"], outputs["logits"]))
        per_clip = divergence(teacher, student, batch["known"])
        return {self.name: self.temperature**2 * weighted_mean(per_clip, batch["weights"])}
