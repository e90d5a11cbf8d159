"""`self`: the deepest layer teaches early exits (Ren et al. 2022, arXiv 2210.14636)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sercli.errors import RecipeError
from sercli.methods.alignment import mean_over_frames
from sercli.methods.base import Method, StudentShapes, TeacherShapes
from sercli.methods.terms import cross_entropy, divergence, weighted_mean


class _Exit(nn.Module):
    """Frames to an embedding as wide as the student's own, and to classes."""

    def __init__(self, width: int, embedding: int, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Sequential(nn.Linear(width, embedding), nn.ReLU())
        self.classifier = nn.Linear(embedding, classes)

    def forward(self, features: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        embedding = self.embedding(mean_over_frames(features, counts))
        return self.classifier(embedding), embedding


class SelfDistillation(Method):
    """Mean over early exits of CE(labels) + T^2 KL(deep || exit) + MSE of the embeddings; the deep one stays put.

    Goes with `ce: {}`, which trains the deepest classifier. An exit is a mean over the frames of a stage, a linear
    map to the width of the student's embedding with ReLU, and a linear map to classes (the paper has a GRU or a
    1x1 convolution on top of a transformer layer; no figure of ours is comparable with it). The paper's code
    (leibniz-future-lab/SelfDistill-SER) feeds KLDivLoss probabilities where it wants their logarithms; here it is
    the true KL.

    Args:
        stages: of the student that get an exit; default: all but the deepest
        temperature: T
        label_smoothing: of the exits' cross-entropy
        weight: see Method
        warmup: see Method
    """

    name = "self"

    def __init__(
        self,
        stages: tuple[str, ...] = (),
        temperature: float = 1.0,
        label_smoothing: float = 0.0,
        weight: float = 1.0,
        warmup: float = 0.0,
    ) -> None:
        super().__init__(weight, warmup)
        self.demand(temperature > 0, "temperature", "above 0", temperature)
        self.stages = stages
        self.temperature = temperature
        self.label_smoothing = label_smoothing

    def connect(self, student: StudentShapes, teacher: TeacherShapes | None) -> None:
        """Build the exits; see Method.connect."""
        stages = self.stages or tuple(stage for stage in student.stages if stage != "frames")
        if not stages:
            raise RecipeError("method.self: the student has no stage before its deepest one")
        self.exits = nn.ModuleDict(
            {stage: _Exit(self.stage_width(student, stage), student.embedding, student.classes) for stage in stages}
        )

    def terms(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Terms `self.ce`, `self.kl` and `self.mse`; see Method.losses."""
        known, weights, temperature = batch["known"], batch["weights"], self.temperature
        deep_logits, deep_embedding = outputs["logits"].detach(), outputs["embedding"].detach()
        ce, kl, mse = [], [], []
        for stage, head in self.exits.items():
            logits, embedding = head(*outputs["stages"][stage])
            ce.append(cross_entropy(logits, batch["targets"], known, self.label_smoothing))
            kl.append(temperature**2 * divergence(deep_logits / temperature, logits / temperature, known))
            mse.append((embedding - deep_embedding).square().mean(dim=1))
        terms = {"self.ce": ce, "self.kl": kl, "self.mse": mse}
        return {name: weighted_mean(torch.stack(parts).mean(dim=0), weights) for name, parts in terms.items()}
