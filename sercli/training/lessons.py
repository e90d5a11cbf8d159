"""What a teacher says about each training clip, as the loader hands it out: logits, pooled states, frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


@dataclass(frozen=True)
class Lessons:
    """One row per utterance of a training set; None for what no method asked for."""

    logits: npt.NDArray[np.float32] | None = None
    """Shape (clips, classes)."""
    pooled: npt.NDArray[np.float16] | None = None
    """Shape (clips, layers, width)."""
    frames: Callable[[int], npt.NDArray[np.float16]] | None = None
    """Clip number to its states, shape (frames, layers, width)."""
    dimensions: npt.NDArray[np.float32] | None = None
    """Arousal, valence and dominance from 0 to 1, shape (clips, 3)."""

    def whole_frames(self, index: int, start: int, stop: int, samples: int) -> tuple[int, int]:
        """Widen a stretch of a clip to whole frames of the teacher, so that both hear the same.

        Args:
            index: clip number
            start: of the stretch, in samples
            stop: its end
            samples: of the whole clip

        Returns:
            start and end in samples; as they are where no frames are learned
        """
        if self.frames is None:
            return start, stop
        count = len(self.frames(index))
        first, end = start * count // samples, -(-stop * count // samples)
        return first * samples // count, end * samples // count

    def of(self, index: int, start: float, stop: float) -> dict[str, npt.NDArray[Any]]:
        """Return the lesson of a clip of which only a stretch is heard.

        Logits and pooled states stay those of the whole clip: its emotion is the same, and the student is to hear it in
        less. Frames are those of the stretch.

        Args:
            index: clip number
            start: of the stretch, as a share of the clip
            stop: its end

        Returns:
            any of `logits` (classes,), `dimensions` (3,), `pooled` (layers, width), `frames` (frames, layers, width)
        """
        lesson: dict[str, npt.NDArray[Any]] = {}
        if self.logits is not None:
            lesson["logits"] = self.logits[index]
        if self.dimensions is not None:
            lesson["dimensions"] = self.dimensions[index]
        if self.pooled is not None:
            lesson["pooled"] = self.pooled[index]
        if self.frames is not None:
            frames = self.frames(index)
            first = min(round(start * len(frames)), len(frames) - 1)
            lesson["frames"] = frames[first : max(round(stop * len(frames)), first + 1)]
        return lesson


def collate_lessons(lessons: Sequence[dict[str, npt.NDArray[Any]]]) -> dict[str, Tensor]:
    """Stack the lessons of a batch, frames in half precision and padded, under the names that methods expect."""
    found: dict[str, Tensor] = {}
    for name in ("logits", "dimensions", "pooled"):
        if name in lessons[0]:
            stacked = np.stack([lesson[name] for lesson in lessons]).astype(np.float32)
            found[f"teacher_{name}"] = torch.from_numpy(stacked)
    if "frames" in lessons[0]:
        counts = [len(lesson["frames"]) for lesson in lessons]
        padded = np.zeros((len(lessons), max(counts), *lessons[0]["frames"].shape[1:]), lessons[0]["frames"].dtype)
        for row, lesson in zip(padded, lessons, strict=True):
            row[: len(lesson["frames"])] = lesson["frames"]
        found["teacher_frames"] = torch.from_numpy(padded)
        found["teacher_counts"] = torch.tensor(counts)
    return found
