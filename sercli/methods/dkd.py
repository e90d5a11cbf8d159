"""`dkd`: decoupled distillation of target and other classes (Zhao et al., CVPR 2022, arXiv 2203.08679)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from sercli.methods.base import Method
from sercli.methods.terms import decoupled, weighted_mean


class DecoupledDistillation(Method):
    """T^2 (alpha TCKD + beta NCKD): is it the target class, and if not, which of the others is it?

    TCKD and NCKD are those of `terms.decoupled`, of logits divided by T. Defaults of megvii-research/mdistiller, which
    go with `ce: {}`; there the target is pushed out by subtracting 1000, here it is left out exactly. Targets of
    several classes (mixup) average the terms of each class by its share (ours).

    Args:
        alpha: factor of TCKD
        beta: factor of NCKD; the default suits 100 classes, choose a smaller one for a few
        temperature: T
        weight: see Method
        warmup: see Method
    """

    name = "dkd"
    needs = frozenset({"logits"})

    def __init__(
        self, alpha: float = 1.0, beta: float = 8.0, temperature: float = 4.0, weight: float = 1.0, warmup: float = 20.0
    ) -> None:
        super().__init__(weight, warmup)
        self.demand(temperature > 0, "temperature", "above 0", temperature)
        self.alpha = alpha
        self.beta = beta
        self.temperature = temperature

    def terms(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Terms `dkd.tckd` and `dkd.nckd`; see Method.losses."""
        teacher, student = (logits / self.temperature for logits in (batch["teacher_logits"], outputs["logits"]))
        tckd, nckd = decoupled(teacher, student, batch["targets"], batch["known"])
        square, weights = self.temperature**2, batch["weights"]
        return {
            "dkd.tckd": self.alpha * square * weighted_mean(tckd, weights),
            "dkd.nckd": self.beta * square * weighted_mean(nckd, weights),
        }
