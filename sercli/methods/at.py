"""`at`: look where the teacher looks (Zagoruyko and Komodakis, ICLR 2017, arXiv 1612.03928)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sercli.methods.alignment import align, mean_over_frames
from sercli.methods.base import Method, StudentShapes, TeacherShapes
from sercli.methods.terms import unit_length, weighted_mean
from sercli.models.frontend import frame_mask


class AttentionTransfer(Method):
    """Squared difference of attention maps, scaled to length 1 over the clip and averaged over its frames.

    The map of a stage is mean_c |f_c|^p for each frame. It runs over time alone, since a transformer has no
    frequency axis to compare with, and the teacher's frames are aligned to the student's first (both ours). Stages
    are summed. Exponent and weight of megvii-research/mdistiller.

    Args:
        stages: of the student
        layers: of the teacher, one for each stage; default: its deepest ones, in order
        p: exponent
        weight: see Method
        warmup: see Method
    """

    name = "at"
    needs = frozenset({"frames"})

    def __init__(
        self,
        stages: tuple[str, ...] = ("frames",),
        layers: tuple[int, ...] = (),
        p: float = 2.0,
        weight: float = 1000.0,
        warmup: float = 0.0,
    ) -> None:
        super().__init__(weight, warmup)
        self.demand(len(stages) > 0, "stages", "at least one", list(stages))
        self.demand(len(layers) in (0, len(stages)), "layers", "as many as stages", list(layers))
        self.demand(p >= 1, "p", "at least 1", p)
        self.stages = stages
        self.layers = layers
        self.p = p

    def connect(self, student: StudentShapes, teacher: TeacherShapes | None) -> None:
        """Check stages and layers; see Method.connect."""
        teacher = self.checked(student, teacher)
        for stage in self.stages:
            self.stage_width(student, stage)
        self.chosen = self.positions(teacher, deepest=len(self.stages))
        self.demand(
            len(self.chosen) == len(self.stages), "stages", "no more than the teacher's layers", list(self.stages)
        )

    def terms(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Term `at`; see Method.losses."""
        per_clip = torch.zeros_like(batch["weights"])
        for stage, position in zip(self.stages, self.chosen, strict=True):
            features, counts = outputs["stages"][stage]
            frames = batch["teacher_frames"][:, :, position]
            target = align(frames, batch["teacher_counts"], counts, features.shape[1])
            inside = frame_mask(counts, features.shape[1])
            student, teacher = (unit_length(inside * side.abs().pow(self.p).mean(dim=2)) for side in (features, target))
            per_clip = per_clip + mean_over_frames((student - teacher).square(), counts)
        return {"at": weighted_mean(per_clip, batch["weights"])}
