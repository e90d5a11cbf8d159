"""`distilhubert`: predict several layers of a speech encoder (Chang et al., ICASSP 2022, arXiv 2110.01900)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sercli.methods.alignment import align, mean_over_frames
from sercli.methods.base import Method, StudentShapes, TeacherShapes
from sercli.methods.standardise import Standardise
from sercli.methods.terms import SHORTEST, weighted_mean
from sercli.models.frontend import frame_mask


class DistilHubert(Method):
    """mean |h_s - h_t| - lambda log sigmoid(cos(h_s, h_t)) over the frames, averaged over the teacher's layers.

    The head is that of s3prl: one linear map of a student stage to a hidden vector per layer, GELU, and a linear map
    per layer. No label is used, so any speech will do. Frames are averaged within their clip first, then clips.

    Args:
        layers: of the teacher; default: all that it gives
        stage: of the student
        cosine: lambda
        hidden: hidden width for each layer; 0 = the teacher's, as in the paper, which is wide beside a small student
        standardise: give the teacher's dimensions mean 0 and deviation 1 over the frames seen so far (ours)
        weight: see Method
        warmup: see Method
    """

    name = "distilhubert"
    needs = frozenset({"frames"})

    def __init__(
        self,
        layers: tuple[int, ...] = (),
        stage: str = "frames",
        cosine: float = 1.0,
        hidden: int = 0,
        standardise: bool = False,
        weight: float = 1.0,
        warmup: float = 0.0,
    ) -> None:
        super().__init__(weight, warmup)
        self.demand(hidden >= 0, "hidden", "0 or above", hidden)
        self.layers = layers
        self.stage = stage
        self.cosine = cosine
        self.width = hidden
        self.standardises = standardise

    def connect(self, student: StudentShapes, teacher: TeacherShapes | None) -> None:
        """Build the prediction heads; see Method.connect."""
        teacher = self.checked(student, teacher)
        self.chosen = self.positions(teacher)
        layers, width = len(self.chosen), self.width or teacher.width
        self.hidden = nn.Sequential(nn.Linear(self.stage_width(student, self.stage), layers * width), nn.GELU())
        self.heads = nn.ModuleList(nn.Linear(width, teacher.width) for _ in range(layers))
        if self.standardises:
            self.targets = nn.ModuleList(Standardise((teacher.width,)) for _ in range(layers))

    def terms(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Terms `distilhubert.l1` and `distilhubert.cosine`; see Method.losses."""
        features, counts = outputs["stages"][self.stage]
        inside = frame_mask(counts, features.shape[1]) > 0
        parts = self.hidden(features).chunk(len(self.heads), dim=2)
        distances, turns = [], []
        for layer, (position, head, part) in enumerate(zip(self.chosen, self.heads, parts, strict=True)):
            frames = batch["teacher_frames"][:, :, position]
            target = align(frames, batch["teacher_counts"], counts, features.shape[1])
            if self.standardises:
                target = self.targets[layer](target, inside)
            found = head(part)
            distances.append((found - target).abs().mean(dim=2))
            lengths = torch.linalg.vector_norm(found, dim=2) * torch.linalg.vector_norm(target, dim=2)
            turns.append(torch.linalg.vecdot(found, target) / lengths.clamp(min=SHORTEST))
        l1, cosine = (
            weighted_mean(mean_over_frames(per_layer.mean(dim=0), counts), batch["weights"])
            for per_layer in (torch.stack(distances), -functional.logsigmoid(torch.stack(turns)))
        )
        return {"distilhubert.l1": l1, "distilhubert.cosine": self.cosine * cosine}
