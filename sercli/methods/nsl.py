"""`nsl`: clips that a source model finds alike get alike representations.

Neural structured learning on a synthesised graph, Chang et al. 2023, "Knowledge Transfer For On-Device Speech Emotion
Recognition with Neural Structured Learning" (arXiv 2210.14977), as in the authors' code, on the loss of
tensorflow/neural-structured-learning:

    L = CE + m R,   R = sum_ij w_ij d(f(x_i), f(x_j)) / #{w_ij != 0}

with neighbours j of clip i, edge weights w, d = 1 - cosine, and f the embedding (`fc1`) or the logits (`fc2`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from sercli.methods.base import Method
from sercli.methods.terms import unit_length

LAYERS = {"embedding": "embedding", "logits": "logits", "fc1": "embedding", "fc2": "logits"}
"""Name in a recipe, ours or the paper's, to that of the student's output."""
DISTANCES = ("cosine", "l2")


class NeuralStructuredLearning(Method):
    """Weighted distance between a clip and its neighbours in the recipe's graph; goes beside `ce`.

    Neighbours run through the network as the clip does, and both sides get gradients. A neighbour that is missing
    weighs 0 and counts nothing.

    Args:
        multiplier: m, factor of the term
        target_layer: embedding or logits; fc1 and fc2 are the paper's names of them
        distance: cosine (1 - cosine), or l2 (squared difference, mean over the dimensions, as the library has it)
        warmup: see Method
    """

    name = "nsl"
    hears_neighbours: ClassVar[bool] = True

    def __init__(
        self,
        multiplier: float = 0.1,
        target_layer: str = "embedding",
        distance: str = "cosine",
        warmup: float = 0.0,
    ) -> None:
        self.demand(multiplier >= 0, "multiplier", "0 or above", multiplier)
        self.demand(target_layer in LAYERS, "target_layer", f"one of {', '.join(LAYERS)}", target_layer)
        self.demand(distance in DISTANCES, "distance", f"one of {', '.join(DISTANCES)}", distance)
        super().__init__(multiplier, warmup)
        self.layer = LAYERS[target_layer]
        self.distance = distance

    def terms(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Term `nsl`; see Method.losses."""
        own, others, weights = outputs[self.layer][:, None], outputs["neighbours"][self.layer], batch["edge_weights"]
        if self.distance == "cosine":
            distances = 1.0 - (unit_length(own) * unit_length(others)).sum(dim=2)
        else:
            distances = (own - others).square().mean(dim=2)
        return {"nsl": (weights * distances).sum() / (weights != 0).sum().clamp(min=1)}
