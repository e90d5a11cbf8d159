"""`kd-std`: distillation of standardised logits (Sun et al., CVPR 2024, arXiv 2403.01427)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sercli.methods.kd import KnowledgeDistillation

SMALLEST_STD = 1e-7


class StandardisedDistillation(KnowledgeDistillation):
    """`kd` after z -> (z - mean) / (std + 1e-7) per clip, on both sides: the student need not copy the logits' scale.

    Mean and unbiased deviation are those of the classes that the clip's corpus has. Defaults of
    sunshangquan/logit-standardization-KD, which go with `ce: {weight: 0.1}`.

    Args:
        temperature: base temperature
        weight: see Method
        warmup: see Method
    """

    name = "kd-std"

    def __init__(self, temperature: float = 2.0, weight: float = 9.0, warmup: float = 0.0) -> None:
        super().__init__(temperature, weight, warmup)

    def terms(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Term `kd-std`; see Method.losses."""
        known = batch["known"]
        teacher = _standardised(batch["teacher_logits"], known)
        return super().terms({"logits": _standardised(outputs["logits"], known)}, {**batch, "teacher_logits": teacher})


def _standardised(logits: Tensor, known: Tensor) -> Tensor:
    classes = known.sum(dim=1, keepdim=True)
    mean = torch.where(known, logits, 0.0).sum(dim=1, keepdim=True) / classes
    centred = torch.where(known, logits - mean, 0.0)
    variance = centred.square().sum(dim=1, keepdim=True) / (classes - 1).clamp(min=1)
    std = torch.where(variance > 0, variance, 1.0).sqrt()  # equal logits: the square root has no gradient at 0
    return centred / (std + SMALLEST_STD)
