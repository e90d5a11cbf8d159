"""`fitnets`: regress a teacher's frames from a student's (Romero et al., ICLR 2015, arXiv 1412.6550)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from sercli.methods.alignment import align, mean_over_frames
from sercli.methods.base import Method, StudentShapes, TeacherShapes
from sercli.methods.terms import weighted_mean


class FitNets(Method):
    """Mean squared error between a linear map of one student stage and one teacher layer, frame by frame.

    The linear map is the paper's 1x1 convolution. Weight of megvii-research/mdistiller.

    Args:
        stage: of the student
        layer: of the teacher; default: its deepest one
        weight: see Method
        warmup: see Method
    """

    name = "fitnets"
    needs = frozenset({"frames"})

    def __init__(
        self, stage: str = "frames", layer: int | None = None, weight: float = 100.0, warmup: float = 0.0
    ) -> None:
        super().__init__(weight, warmup)
        self.stage = stage
        self.layers = () if layer is None else (layer,)

    def connect(self, student: StudentShapes, teacher: TeacherShapes | None) -> None:
        """Build the regressor; see Method.connect."""
        teacher = self.checked(student, teacher)
        (self.position,) = self.positions(teacher, deepest=1)
        self.regressor = nn.Linear(self.stage_width(student, self.stage), teacher.width)

    def terms(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Term `fitnets`; see Method.losses."""
        features, counts = outputs["stages"][self.stage]
        frames = batch["teacher_frames"][:, :, self.position]
        target = align(frames, batch["teacher_counts"], counts, features.shape[1])
        per_frame = (self.regressor(features) - target).square().mean(dim=2)
        return {"fitnets": weighted_mean(mean_over_frames(per_frame, counts), batch["weights"])}
