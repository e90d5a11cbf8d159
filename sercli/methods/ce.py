"""`ce`: cross-entropy with the labels; plain training, and a part of most distillation methods."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sercli.methods.base import Method

EXCLUDED = -1e4  # logit of a class that a clip's corpus does not have: no probability, no gradient


class CrossEntropy(Method):
    """Weighted cross-entropy with label smoothing over the classes that a clip's corpus has.

    Args:
        weight: factor of the whole term
        label_smoothing: share of the target spread evenly over the corpus's classes
        within_corpus: leave classes that the clip's corpus never shows out of the softmax, so that a student cannot
            learn "this codec, therefore not surprise" from corpora with fewer classes
    """

    def __init__(self, weight: float = 1.0, label_smoothing: float = 0.1, within_corpus: bool = True) -> None:
        super().__init__()
        self.weight = weight
        self.label_smoothing = label_smoothing
        self.within_corpus = within_corpus

    def losses(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Term `ce`; see Method.losses."""
        logits, targets = outputs["logits"], batch["targets"]
        known = batch["known"] if self.within_corpus else torch.ones_like(batch["known"])
        even = known / known.sum(dim=1, keepdim=True)
        targets = (1.0 - self.label_smoothing) * targets + self.label_smoothing * even
        log_probabilities = torch.log_softmax(torch.where(known, logits, EXCLUDED), dim=1)
        # Where a class is excluded its target is 0 and its log-probability large: 0 * large must stay 0.
        per_clip = -(targets * torch.where(known, log_probabilities, 0.0)).sum(dim=1)
        weights = batch["weights"]
        return {"ce": self.weight * (weights * per_clip).sum() / weights.sum()}
