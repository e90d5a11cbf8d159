"""From a recipe's `graph` section to the graph of a run: the source model hears the training clips, nobody else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sercli.corpora.speech import read_utterance
from sercli.corpora.table import Utterance
from sercli.errors import CorpusError, RecipeError
from sercli.evaluation.model import open_model
from sercli.methods import build_methods
from sercli.training.neighbours import FILE, NeighbourGraph, build_graph
from sercli.training.recipe import Recipe
from sercli.training.recipe_graph import GraphPart
from sercli.training.start import unheard
from sercli.training.teacher import hear

Floats = npt.NDArray[np.float32]


def check_source(part: GraphPart, held_out: Iterable[Utterance]) -> None:
    """Refuse a source model that knows somebody whom the run holds out.

    Raises:
        LeakError: it does, or does not say whom it has heard
        ModelNotFoundError, BundleError: there is none, or it is incomplete
    """
    if part.model:
        unheard("graph.model", part.model, open_model(part.model).heard, held_out)


def wants_graph(recipe: Recipe) -> bool:
    """Whether a method of the recipe's main training reads the graph; of a stage it is that of the stage's recipe.

    Raises:
        RecipeError: one does, and nobody says what is alike, or clips are blended
    """
    name = next((name for name, method in build_methods(recipe.method) if method.hears_neighbours), None)
    if name is None:
        return False
    if not recipe.graph.named:
        raise RecipeError(f"graph: method.{name} compares neighbours; name graph.model or graph.encoder")
    if recipe.augment.mixup_alpha > 0:
        raise RecipeError(f"method.{name}: a blend of two clips has no neighbours; set augment.mixup_alpha to 0")
    return True


def run_graph(part: GraphPart, utterances: Sequence[Utterance], folder: Path, quiet: bool = False) -> NeighbourGraph:
    """Build the graph of a run and keep it in its folder.

    Args:
        part: the recipe's graph section
        utterances: that train
        folder: of the run
        quiet: no progress bar

    Raises:
        RecipeError: a layer that the encoder does not have
        CorpusError: fewer than two clips
        ModelNotFoundError, BundleError, OutputError: as of the model that hears them
    """
    if len(utterances) < 2:
        raise CorpusError("one training clip has no neighbours; check corpus and split")
    graph = build_graph(
        source_embeddings(part, utterances, quiet), utterances, part.neighbors, part.threshold, part.standardise
    )
    graph.save(folder / FILE)
    return graph


def source_embeddings(part: GraphPart, utterances: Sequence[Utterance], quiet: bool = False) -> Floats:
    """Let the source model hear every clip, whole: its hidden layer, or the encoder's states; shape (clips, width).

    Raises:
        RecipeError, CorpusError, ModelNotFoundError, BundleError, OutputError: as of the model
    """
    from sercli.training.teacher_answers import is_teacher, teacher_outputs  # which train runs too

    if part.encoder:
        pooled: Any = hear(part.encoder, "mean", utterances, quiet=quiet).pooled
        return np.asarray(pooled.reshape(len(utterances), -1), np.float32)
    model = open_model(part.model)
    if is_teacher(model.folder):
        return teacher_outputs(model.folder, utterances, "embedding", quiet)
    decision = model.student.decision(model.student.labels, threshold=0.0)
    with model.answering() as student:
        said = [student.label_whole([read_utterance(utterance)], decision).embedding for utterance in utterances]
    silence = np.zeros(model.student.config.embedding_size, np.float32)  # it has no direction, and so no neighbours
    return np.stack([silence if vector is None else vector for vector in said])
