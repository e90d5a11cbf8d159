"""Frames of different rates side by side, and means that skip padding.

Student and teacher frames divide the same stretch of audio: frame i of n has its centre at (i + 1/2) / n of the clip.
A student's frame is compared with the teacher's frames linearly interpolated at its centre; before the teacher's
first centre and after its last one the nearest frame holds. Every clip uses its own counts, so padding is never read.
That is `interpolate(mode="linear", align_corners=False)` of torch, clip by clip (the choice is ours).
"""

from __future__ import annotations

import torch
from torch import Tensor

from sercli.methods.terms import precise
from sercli.models.frontend import frame_mask


def align(teacher: Tensor, teacher_counts: Tensor, counts: Tensor, frames: int) -> Tensor:
    """Interpolate a teacher's frames at the centres of a student's frames.

    Args:
        teacher: shape (batch, teacher frames, ...)
        teacher_counts: teacher's frames per clip, at least 1, shape (batch,)
        counts: student's frames per clip, at least 1, shape (batch,)
        frames: frames of the student's padded batch

    Returns:
        float32 or better, zero in the student's padding, shape (batch, frames, ...); with equal counts the teacher's
        frames themselves
    """
    n, m = counts[:, None], teacher_counts[:, None]
    step = torch.arange(frames, device=teacher.device)[None, :]
    # Position (i + 1/2) m / n - 1/2 in units of 1 / 2n: whole numbers, so that equal counts give exactly i.
    position = torch.minimum(((2 * step + 1) * m - n).clamp(min=0), 2 * n * (m - 1))
    before = torch.div(position, 2 * n, rounding_mode="floor")
    after = torch.minimum(before + 1, m - 1)
    first = torch.arange(len(teacher), device=teacher.device)[:, None] * teacher.shape[1]
    rows = teacher.flatten(0, 1)  # picking whole rows is several times faster than indexing by (clip, frame)
    left, right = (
        precise(rows.index_select(0, (first + chosen).flatten())).reshape(*before.shape, *teacher.shape[2:])
        for chosen in (before, after)
    )
    share = (position - 2 * n * before).to(left.dtype) / (2 * n)
    return torch.where(_widened(step < n, left), torch.lerp(left, right, _widened(share, left)), 0.0)


def mean_over_frames(values: Tensor, counts: Tensor) -> Tensor:
    """Average the frames inside each clip.

    Args:
        values: shape (batch, frames, ...)
        counts: frames per clip, shape (batch,)

    Returns:
        shape (batch, ...)
    """
    inside = _widened(frame_mask(counts, values.shape[1]) > 0, values)
    total = torch.where(inside, values, 0.0).sum(dim=1)
    return total / counts.clamp(min=1).reshape(-1, *[1] * (total.dim() - 1))


def _widened(per_frame: Tensor, values: Tensor) -> Tensor:
    """Append axes of size 1 to (batch, frames) until it broadcasts over (batch, frames, ...)."""
    return per_frame.reshape(*per_frame.shape, *[1] * (values.dim() - 2))
