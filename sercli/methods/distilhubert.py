"""`distilhubert`: predict several layers of a speech encoder (Chang et al., ICASSP 2022, arXiv 2110.01900)."""

from __future__ import annotations

from sercli.methods.layer_prediction import LayerPrediction


class DistilHubert(LayerPrediction):
    """mean |h_s - h_t| - lambda log sigmoid(cos(h_s, h_t)) over the frames, averaged over the teacher's layers.

    Args:
        layers: of the teacher; default: all that it gives
        stage: of the student
        cosine: lambda
        hidden: see LayerPrediction
        standardise: see LayerPrediction
        weight: see Method
        warmup: see Method
    """

    name = "distilhubert"

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
        super().__init__(layers, (), stage, cosine, hidden, standardise, weight, warmup)
