"""`ce`: cross-entropy with the labels; plain training, and a part of most distillation methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sercli.methods.base import Method
from sercli.methods.terms import cross_entropy, weighted_mean


class CrossEntropy(Method):
    """Weighted cross-entropy with label smoothing over the classes that a clip's corpus has.

    Args:
        weight: factor of the whole term
        label_smoothing: share of the target spread evenly over the corpus's classes
        within_corpus: leave classes that the clip's corpus never shows out of the softmax, so that a student cannot
            learn "this codec, therefore not surprise" from corpora with fewer classes
        warmup: see Method
    """

    name = "ce"

    def __init__(
        self, weight: float = 1.0, label_smoothing: float = 0.1, within_corpus: bool = True, warmup: float = 0.0
    ) -> None:
        super().__init__(weight, warmup)
        self.label_smoothing = label_smoothing
        self.within_corpus = within_corpus

    def terms(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Term `ce`; see Method.losses."""
        known = batch["known"] if self.within_corpus else torch.ones_like(batch["known"])
        per_clip = cross_entropy(outputs["logits"], batch["targets"], known, self.label_smoothing)
        return {"ce": weighted_mean(per_clip, batch["weights"])}
