"""Students' outputs and teachers' answers of random numbers, the shapes that go with them, and connected methods."""

from typing import Any

import torch

from sercli.methods import build_methods
from sercli.methods.base import Method, StudentShapes, TeacherShapes

CLASSES, EMBEDDING, WIDTH, LAYERS, EXITS = 5, 6, 7, (2, 4, 9), 3
NEIGHBOURS = 2
COUNTS = {"early": (12, 9, 5, 2), "frames": (6, 5, 3, 1)}  # frames per clip; further clips repeat them
TEACHER_COUNTS = (10, 8, 4, 2)
STUDENT = StudentShapes(CLASSES, EMBEDDING, {"early": 4, "frames": 8}, EXITS, scale=2.0, rates=True)
TEACHER = TeacherShapes(CLASSES, WIDTH, LAYERS, rates=True)


def connected(name: str, **arguments: Any) -> Method:
    """Build a method as a recipe does, its own modules always with the same weights."""
    torch.manual_seed(0)
    ((_, method),) = build_methods({name: arguments})
    method.connect(STUDENT, TEACHER)
    return method


def logits_batch(student: torch.Tensor, teacher: torch.Tensor, labels: list[int]) -> tuple[Any, Any]:
    """Outputs and batch for a method that looks at logits alone."""
    batch = {
        "targets": torch.nn.functional.one_hot(torch.tensor(labels), student.shape[1]).to(student.dtype),
        "known": torch.ones(student.shape, dtype=torch.bool),
        "weights": torch.ones(len(student), dtype=student.dtype),
        "teacher_logits": teacher,
    }
    return {"logits": student}, batch


def random_batch(clips: int = 8, seed: int = 0, padding: int = 0) -> tuple[Any, Any]:
    """Outputs that want gradients and a batch with everything a teacher can give.

    Args:
        clips: of the batch
        seed: of the numbers; the clips themselves are the same for every padding
        padding: frames of rubbish behind the longest clip, and behind every shorter one
    """
    random = torch.Generator().manual_seed(seed)

    def frames(counts: tuple[int, ...], *widths: int) -> tuple[torch.Tensor, torch.Tensor]:
        counted = [counts[clip % len(counts)] for clip in range(clips)]
        values = torch.full((clips, max(counted) + padding, *widths), 1e3 if padding else 0.0)
        for clip, count in enumerate(counted):
            values[clip, :count] = torch.randn(count, *widths, generator=random)
        return values, torch.tensor(counted)

    stages = {name: frames(COUNTS[name], width) for name, width in STUDENT.stages.items()}
    outputs = {
        "logits": torch.randn(clips, CLASSES, generator=random).requires_grad_(),
        "embedding": torch.randn(clips, EMBEDDING, generator=random).requires_grad_(),
        "stages": {name: (values.requires_grad_(), counts) for name, (values, counts) in stages.items()},
    }
    teacher_frames, teacher_counts = frames(TEACHER_COUNTS, len(LAYERS), WIDTH)
    labels = torch.randint(CLASSES, (clips,), generator=random)
    known = torch.rand(clips, CLASSES, generator=random) < 0.8
    batch = {
        "targets": torch.nn.functional.one_hot(labels, CLASSES).float(),
        "known": known.scatter(1, labels[:, None], True),
        "weights": torch.rand(clips, generator=random) + 0.5,
        "epoch": torch.tensor(1.0),
        "teacher_logits": torch.randn(clips, CLASSES, generator=random),
        "teacher_pooled": torch.randn(clips, len(LAYERS), WIDTH, generator=random),
        "teacher_frames": teacher_frames,
        "teacher_counts": teacher_counts,
    }
    # the deepest of the exits is not the logits here, so that a method's gradient to either can be told apart
    outputs["exits"] = torch.randn(clips, EXITS, CLASSES, generator=random).requires_grad_()
    outputs["neighbours"] = {
        name: torch.randn(clips, NEIGHBOURS, width, generator=random).requires_grad_()
        for name, width in (("logits", CLASSES), ("embedding", EMBEDDING))
    }
    outputs["dimensions"] = torch.rand(clips, 3, generator=random).requires_grad_()
    batch["teacher_dimensions"] = torch.rand(clips, 3, generator=random)
    batch["edge_weights"] = torch.rand(clips, NEIGHBOURS, generator=random) / 2 + 0.5
    return outputs, batch
