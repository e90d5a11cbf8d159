"""The part of a recipe that says which training clips are alike: the graph of `nsl`."""

from __future__ import annotations

from dataclasses import dataclass

from sercli.errors import RecipeError
from sercli.fields import demand
from sercli.training.recipe_teacher import EncoderPart


@dataclass(frozen=True)
class GraphPart:
    """Neighbours among the training clips, found without their labels; built only where a method reads it."""

    model: str = ""
    """whose embeddings are compared: a teacher's run, a student's run, a bundle or a bundled student, at best of
    another corpus; it must not have heard a speaker the run holds out; `{fold}` in it is the number of the fold"""
    encoder: EncoderPart | None = None
    """instead: a frozen encoder, whose states of the chosen layers, averaged over time, are compared"""
    standardise: bool = False
    """take the mean over the training clips off every dimension and divide by the deviation, before they are compared;
    states of an encoder are all much alike without"""
    threshold: float = 0.99
    """least cosine of two neighbours"""
    neighbors: int = 3
    """most neighbours of a clip: those with the largest cosine"""

    def __post_init__(self) -> None:
        demand(0 < self.threshold <= 1, "graph.threshold", "above 0, at most 1", self.threshold)
        demand(self.neighbors >= 1, "graph.neighbors", "at least 1", self.neighbors)
        if self.model and self.encoder:
            raise RecipeError("graph: name a model or an encoder, not both")

    @property
    def named(self) -> bool:
        """Whether anybody says what is alike."""
        return bool(self.model or self.encoder)
