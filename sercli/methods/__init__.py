"""Training and distillation methods, one per file, found by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sercli.errors import RecipeError
from sercli.methods.am_softmax import AdditiveMarginSoftmax
from sercli.methods.at import AttentionTransfer
from sercli.methods.audio_text import AudioText
from sercli.methods.base import Method
from sercli.methods.ccc import Concordance
from sercli.methods.ce import CrossEntropy
from sercli.methods.dist import Dist
from sercli.methods.distilhubert import DistilHubert
from sercli.methods.dkd import DecoupledDistillation
from sercli.methods.dkdfmh import AttentionSetDistillation
from sercli.methods.fitnets import FitNets
from sercli.methods.kd import KnowledgeDistillation
from sercli.methods.kd_std import StandardisedDistillation
from sercli.methods.mlkd import MultiLevelDistillation
from sercli.methods.nsl import NeuralStructuredLearning
from sercli.methods.pooled import PooledRegression
from sercli.methods.rkd import RelationalDistillation
from sercli.methods.self_distillation import SelfDistillation
from sercli.methods.sp import SimilarityPreserving
from sercli.nearest import nearest_or_all

METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in (
        CrossEntropy,
        KnowledgeDistillation,
        StandardisedDistillation,
        DecoupledDistillation,
        Dist,
        FitNets,
        AttentionTransfer,
        RelationalDistillation,
        SimilarityPreserving,
        DistilHubert,
        MultiLevelDistillation,
        PooledRegression,
        SelfDistillation,
        AttentionSetDistillation,
        NeuralStructuredLearning,
        AdditiveMarginSoftmax,
        AudioText,
        Concordance,
    )
}
"""Recipe name to class."""


def build_methods(parts: Mapping[str, Any]) -> list[tuple[str, Method]]:
    """Build the methods of a recipe.

    Args:
        parts: method name to its arguments

    Raises:
        RecipeError: unknown method or argument, with the nearest name
    """
    if not parts:
        raise RecipeError(f"method: name at least one of {', '.join(METHODS)}")
    built = []
    for name, arguments in parts.items():
        if name not in METHODS:
            raise RecipeError(f"method.{name}: no such method; {nearest_or_all(name, METHODS)}")
        if not isinstance(arguments, Mapping | None):
            raise RecipeError(f"method.{name}: needs a mapping of its arguments to values, not {arguments!r}")
        built.append((name, METHODS[name].from_arguments(f"method.{name}", arguments or {})))
    return built


def check_batch(methods: Iterable[tuple[str, Method]], batch: int) -> None:
    """Refuse batches in which a method has too few clips to compare.

    Args:
        methods: recipe name and method
        batch: clips a step, the smaller of `optim.batch` and the training clips

    Raises:
        RecipeError: names `optim.batch`
    """
    for name, method in methods:
        if batch < method.smallest_batch:
            needed = f"method.{name} compares the clips of a batch and needs {method.smallest_batch} or more"
            raise RecipeError(f"optim.batch: {needed}, not {batch}")
