"""`ce`: cross-entropy with the labels; plain training, and a part of most distillation methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sercli.errors import RecipeError
from sercli.methods.base import Method, StudentShapes, TeacherShapes
from sercli.methods.terms import cross_entropy, weighted_mean


class CrossEntropy(Method):
    """Weighted cross-entropy with label smoothing over the classes that a clip's corpus has.

    Args:
        weight: factor of all its terms
        label_smoothing: share of the target spread evenly over the corpus's classes
        within_corpus: leave classes that the clip's corpus never shows out of the softmax, so that a student cannot
            learn "this codec, therefore not surprise" from corpora with fewer classes
        exits: factor of the mean cross-entropy of a student's shallower classifiers (the attention sets of `cnn-fmha`);
            0 = only the deepest learns from labels
        warmup: see Method
    """

    name = "ce"

    def __init__(
        self,
        weight: float = 1.0,
        label_smoothing: float = 0.1,
        within_corpus: bool = True,
        exits: float = 0.0,
        warmup: float = 0.0,
    ) -> None:
        super().__init__(weight, warmup)
        self.demand(exits >= 0, "exits", "0 or above", exits)
        self.label_smoothing = label_smoothing
        self.within_corpus = within_corpus
        self.exits = exits

    def connect(self, student: StudentShapes, teacher: TeacherShapes | None) -> None:
        """Check that there are shallower classifiers if they are to learn; see Method.connect."""
        if self.exits > 0 and student.exits < 2:
            raise RecipeError(f"method.{self.name}.exits: the student has one classifier; set it to 0")

    def terms(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Term `ce`, and `ce.exits` where shallower classifiers learn; see Method.losses."""
        known = batch["known"] if self.within_corpus else torch.ones_like(batch["known"])
        targets, weights = batch["targets"], batch["weights"]
        per_clip = cross_entropy(outputs["logits"], targets, known, self.label_smoothing)
        terms = {"ce": weighted_mean(per_clip, weights)}
        if self.exits > 0:
            shallow = cross_entropy(outputs["exits"][:, :-1], targets[:, None], known[:, None], self.label_smoothing)
            terms["ce.exits"] = self.exits * weighted_mean(shallow.mean(dim=1), weights)
        return terms
