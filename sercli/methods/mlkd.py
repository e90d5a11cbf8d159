"""`mlkd`: a student in noise approaches several levels of a clean teacher (Liu et al., arXiv 2312.13556).

As the abstract describes it, details ours. The paper's teacher is wav2vec 2.0 on clean speech, its student a smaller
network on the noisy version of the same clip, and several levels of the one supervise the single output level of the
other. Noise is the recipe's (`augment.noise`): the teacher's states are computed once, of the clean clip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from sercli.methods.base import StudentShapes
from sercli.methods.layer_prediction import Compared, LayerPrediction


class MultiLevelDistillation(LayerPrediction):
    """`LayerPrediction` of frames, or of states pooled over time.

    Frames follow the stretch that the student hears and are the paper's form, but take much room (3 layers of
    whisper-small 0.23 MB a second of speech). Pooled states, of the whole clip, are a clip of one frame, which the
    student's embedding predicts; they take 0.2 % of that, and what a small student keeps of a clip is little more.

    Args:
        layers: of the teacher; default: those at a third, two thirds and the whole of its depth
        layer_weights: relative, one for each layer; default: all alike
        frames: learn every frame from the student's stage; false = pooled states from its embedding
        stage: of the student, for frames
        cosine: weight of the cosine term beside the L1 term
        hidden: see LayerPrediction
        standardise: see LayerPrediction; Whisper's states have a few dimensions that would rule the loss (ours)
        weight: of the features in the whole loss, lambda_f
        warmup: see Method
    """

    name = "mlkd"

    def __init__(
        self,
        layers: tuple[int, ...] = (),
        layer_weights: tuple[float, ...] = (),
        frames: bool = True,
        stage: str = "frames",
        cosine: float = 1.0,
        hidden: int = 0,
        standardise: bool = True,
        weight: float = 1.0,
        warmup: float = 0.0,
    ) -> None:
        super().__init__(layers, layer_weights, stage, cosine, hidden, standardise, weight, warmup)
        positive = all(share >= 0 for share in layer_weights) and (not layer_weights or sum(layer_weights) > 0)
        self.demand(positive, "layer_weights", "0 or above, and not all 0", list(layer_weights))
        self.frames = frames
        self.needs = frozenset({"frames" if frames else "pooled"})

    def chosen_layers(self, given: Sequence[int]) -> tuple[int, ...]:
        """Take the layers at a third, two thirds and the whole of the depth."""
        return tuple(dict.fromkeys(given[-(-part * len(given) // 3) - 1] for part in (1, 2, 3)))

    def source_width(self, student: StudentShapes) -> int:
        """Width of the stage, or of the embedding."""
        return super().source_width(student) if self.frames else student.embedding

    def compared(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor]) -> Compared:
        """Frames, or an embedding and pooled states as clips of one frame; see LayerPrediction."""
        if self.frames:
            return super().compared(outputs, batch)
        embedding, pooled = outputs["embedding"][:, None], batch["teacher_pooled"][:, None]
        one = torch.ones(len(embedding), dtype=torch.int64, device=embedding.device)
        return embedding, one, pooled, one
