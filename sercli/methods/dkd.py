"""`dkd`: decoupled distillation of target and other classes (Zhao et al., CVPR 2022, arXiv 2203.08679)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sercli.methods.base import Method
from sercli.methods.terms import divergence, known_log_softmax, weighted_mean


class DecoupledDistillation(Method):
    """T^2 (alpha TCKD + beta NCKD): is it the target class, and if not, which of the others is it?

        TCKD = KL(b_teacher || b_student), b  = (p_t, 1 - p_t), p = softmax(z / T)
        NCKD = KL(q_teacher || q_student), q  = softmax of z / T over the classes other than the target t

    so that KL(p_teacher || p_student) = TCKD + (1 - p_t of the teacher) NCKD. Defaults of megvii-research/mdistiller,
    which go with `ce: {}`; there the target is pushed out of q by subtracting 1000, here it is left out exactly.
    Targets of several classes (mixup) average the terms of each class by its share (ours).

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
        known, targets = batch["known"], batch["targets"]
        teacher, student = (logits / self.temperature for logits in (batch["teacher_logits"], outputs["logits"]))
        # Row t of a clip's (classes, classes) mask: the classes that are left when t is the target.
        others = known[:, None, :] & ~torch.eye(known.shape[1], dtype=torch.bool, device=known.device)
        binary = [torch.stack(_target_or_not(logits, known, others)) for logits in (teacher, student)]
        tckd = (binary[0].exp() * (binary[0] - binary[1])).sum(dim=0)
        nckd = divergence(teacher[:, None, :], student[:, None, :], others)
        square, weights = self.temperature**2, batch["weights"]
        return {
            "dkd.tckd": self.alpha * square * weighted_mean((targets * tckd).sum(dim=1), weights),
            "dkd.nckd": self.beta * square * weighted_mean((targets * nckd).sum(dim=1), weights),
        }


def _target_or_not(logits: Tensor, known: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probability of each class, and of all others together, each of shape (batch, classes)."""
    lowest = torch.finfo(logits.dtype).min
    everything = torch.where(known, logits, lowest).logsumexp(dim=1, keepdim=True)
    rest = torch.where(others, logits[:, None, :], lowest).logsumexp(dim=2)
    return known_log_softmax(logits, known), rest - everything
