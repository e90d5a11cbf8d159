"""Prediction of several layers of a teacher from one level of the student, the loss of DistilHuBERT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sercli.methods.alignment import align, mean_over_frames
from sercli.methods.base import Method, StudentShapes, TeacherShapes
from sercli.methods.standardise import Standardise
from sercli.methods.terms import SHORTEST, weighted_mean
from sercli.models.frontend import frame_mask

Compared = tuple[Tensor, Tensor, Tensor, Tensor]
"""Features of the student (batch, frames, width) and frames per clip; states of the teacher (batch, frames, layers,
width) and its frames per clip."""


class LayerPrediction(Method):
    """sum_l w_l (mean |P_l(h_s) - h_t^l| - lambda log sigmoid(cos(P_l(h_s), h_t^l))), means over frames, then clips.

    The head P is that of s3prl: one linear map of a student stage to a hidden vector per layer, GELU, and a linear map
    per layer (Chang et al., ICASSP 2022, arXiv 2110.01900). No label is used, so any speech will do.

    Args:
        layers: of the teacher; default: as `chosen_layers` says
        shares: relative weight w_l of each, which are made to sum to 1; default: all alike
        stage: of the student
        cosine: lambda
        hidden: hidden width for each layer; 0 = the teacher's, as in the paper, which is wide beside a small student
        standardise: give the teacher's dimensions mean 0 and deviation 1 over what was seen so far (ours)
        weight: see Method
        warmup: see Method
    """

    needs = frozenset({"frames"})

    def __init__(
        self,
        layers: tuple[int, ...],
        shares: tuple[float, ...],
        stage: str,
        cosine: float,
        hidden: int,
        standardise: bool,
        weight: float,
        warmup: float,
    ) -> None:
        super().__init__(weight, warmup)
        self.demand(hidden >= 0, "hidden", "0 or above", hidden)
        self.layers = layers
        self.shares = shares
        self.stage = stage
        self.cosine = cosine
        self.width = hidden
        self.standardises = standardise

    def chosen_layers(self, given: Sequence[int]) -> tuple[int, ...]:
        """Choose among the layers that the teacher gives, sorted, where the recipe names none: all."""
        return tuple(given)

    def connect(self, student: StudentShapes, teacher: TeacherShapes | None) -> None:
        """Build the prediction heads; see Method.connect."""
        teacher = self.checked(student, teacher)
        self.layers = self.layers or self.chosen_layers(sorted(teacher.layers))
        self.chosen = self.positions(teacher)
        layers, width = len(self.chosen), self.width or teacher.width
        shares = torch.tensor(self.shares or [1.0] * layers)
        self.demand(len(shares) == layers, "layer_weights", f"one for each of {layers} layers", list(self.shares))
        self.register_buffer("share", shares / shares.sum(), persistent=False)
        self.share: Tensor
        self.hidden = nn.Sequential(nn.Linear(self.source_width(student), layers * width), nn.GELU())
        self.heads = nn.ModuleList(nn.Linear(width, teacher.width) for _ in range(layers))
        if self.standardises:
            self.targets = nn.ModuleList(Standardise((teacher.width,)) for _ in range(layers))

    def source_width(self, student: StudentShapes) -> int:
        """Width of the level of the student that predicts."""
        return self.stage_width(student, self.stage)

    def compared(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor]) -> Compared:
        """Take what predicts and what is predicted; arguments as for `losses`."""
        features, counts = outputs["stages"][self.stage]
        return features, counts, batch["teacher_frames"], batch["teacher_counts"]

    def terms(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Terms `NAME.l1` and `NAME.cosine`; see Method.losses."""
        features, counts, states, state_counts = self.compared(outputs, batch)
        inside = frame_mask(counts, features.shape[1]) > 0
        parts = self.hidden(features).chunk(len(self.heads), dim=2)
        distances, turns = [], []
        for layer, (position, head, part) in enumerate(zip(self.chosen, self.heads, parts, strict=True)):
            target = align(states[:, :, position], state_counts, counts, features.shape[1])
            if self.standardises:
                target = self.targets[layer](target, inside)
            found = head(part)
            distances.append((found - target).abs().mean(dim=2))
            lengths = torch.linalg.vector_norm(found, dim=2) * torch.linalg.vector_norm(target, dim=2)
            turns.append(torch.linalg.vecdot(found, target) / lengths.clamp(min=SHORTEST))
        l1, cosine = (
            weighted_mean(mean_over_frames(torch.tensordot(self.share, per_layer, dims=1), counts), batch["weights"])
            for per_layer in (torch.stack(distances), -functional.logsigmoid(torch.stack(turns)))
        )
        return {f"{self.name}.l1": l1, f"{self.name}.cosine": self.cosine * cosine}
