"""`gmp-atl`: a teacher in three stages, by frame-level pseudo-labels of several scales (arXiv 2405.02151).

    A   encoder, emotion and gender of the clip                 CE_emotion + gender * CE_gender
        k-means of A's states, layer by layer                   every frame gets a number per (layer, k)
    B   A's encoder says those numbers, frame by frame          mean over scales of CE
    C   B's encoder, emotion of the clip, on a fresh head       AM-Softmax

The stages are the paper's, as its abstract describes them; sizes, weights and schedules are ours. That the labels are
gender-augmented is taken to mean that they are clusters of states that know gender. `gmp_run` runs them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from sercli.errors import RecipeError
from sercli.fields import demand, from_dict
from sercli.training.recipe_student import OptimPart

NAME = "gmp-atl"
FRAMES = ("all", "masked")


@dataclass(frozen=True)
class Margin:
    """AM-Softmax of stage C."""

    s: float = 30.0
    """scale of the cosines; 0 = cross-entropy on a linear layer instead"""
    m: float = 0.2
    """margin, in cosines"""

    def __post_init__(self) -> None:
        demand(self.s >= 0, f"method.{NAME}.am.s", "0 or above", self.s)
        demand(0 <= self.m < 2, f"method.{NAME}.am.m", "from 0 to below 2", self.m)


@dataclass(frozen=True)
class GmpAtl:
    """Arguments of the method; stage C has the recipe's own `optim`.

    Raises:
        RecipeError: a value that makes no sense
    """

    gender: float = 0.5
    """weight of the gender loss in stage A; 0 = emotion alone"""
    scales: tuple[tuple[int, int], ...] | None = None
    """(layer, k) pairs: into how many clusters the states of which layer are parted; empty = no stage B; not given:
    half, three quarters and all of the layers with 64, 128 and 256"""
    frames: str = "all"
    """which count in stage B: all, or masked: those that are hidden from the trained layers, as HuBERT does"""
    mask_share: float = 0.08
    """of frames where a masked run begins"""
    mask_frames: int = 10
    """length of a masked run"""
    am: Margin = field(default_factory=Margin)
    """AM-Softmax"""
    label_smoothing: float = 0.1
    """of the cross-entropies with emotions"""
    a: OptimPart | None = field(default_factory=lambda: OptimPart(epochs=10, lr=1e-3, patience=0))
    """schedule of stage A; null = no stage A"""
    b: OptimPart = field(default_factory=lambda: OptimPart(epochs=10, lr=1e-3, patience=0))
    """schedule of stage B, which has no development figure to stop by: its last epoch goes on"""
    transductive: bool = False
    """let clusters and stage B hear the test speakers too, without labels; every result then says so"""
    folder: str = ""
    """where stages A and B stand; finished ones of the same recipe there are taken as they are, so that several runs
    can share them; `{fold}` in it is the number of the fold; empty = the run's own folder"""

    def __post_init__(self) -> None:
        place = f"method.{NAME}"
        demand(self.gender >= 0, f"{place}.gender", "0 or above", self.gender)
        demand(self.frames in FRAMES, f"{place}.frames", f"one of {', '.join(FRAMES)}", self.frames)
        demand(0 < self.mask_share < 1, f"{place}.mask_share", "a share between 0 and 1", self.mask_share)
        demand(self.mask_frames >= 1, f"{place}.mask_frames", "at least 1", self.mask_frames)
        scales = self.scales or ()
        demand(all(k >= 2 for _, k in scales), f"{place}.scales", "of 2 clusters or more each", [*map(list, scales)])
        demand(len(set(scales)) == len(scales), f"{place}.scales", "all different", [*map(list, scales)])
        if self.a is None and self.scales != ():
            raise RecipeError(f"{place}.a: clusters are of its states; keep it, or set {place}.scales=[]")
        if self.transductive and self.folder:
            raise RecipeError(f"{place}.folder: transductive stages are of one run alone; leave one of both out")

    @classmethod
    def of(cls, method: Mapping[str, Any]) -> Self:
        """Read a recipe's `method`.

        Raises:
            RecipeError: an unknown argument, or another method beside it
        """
        if others := [name for name in method if name != NAME]:
            raise RecipeError(f"method.{others[0]}: {NAME} stands alone; leave one of both out")
        return from_dict(cls, method[NAME] or {}, f"method.{NAME}.")

    def scales_of(self, layers: int) -> tuple[tuple[int, int], ...]:
        """The scales for an encoder of so many layers."""
        if self.scales is not None:
            return self.scales
        parts = {-(-layers // 2): 64, -(-3 * layers // 4): 128, layers: 256}
        return tuple(parts.items())


def is_transductive(method: Mapping[str, Any]) -> bool:
    """Whether a recipe's `method` hears the test speakers without labels."""
    return NAME in method and GmpAtl.of(method).transductive
