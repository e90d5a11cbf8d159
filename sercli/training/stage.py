"""Trainings that come before a run's main one, in folders of their own, some of which several runs share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

from sercli.corpora.splits import Split
from sercli.evaluation.history import draw_history
from sercli.training import processes
from sercli.training.recipe import Recipe
from sercli.training.recipe_file import is_recipe_of
from sercli.training.run_folder import CHECKPOINT
from sercli.training.trainer import Trained, train


def train_stage(
    recipe: Recipe,
    split: Split,
    place: Path,
    shared: bool,
    fit: Callable[..., Trained] = train,
    **options: Any,
) -> None:
    """Train one, or take what is finished: of this run when resuming, of another run where it is shared.

    A shared one is trained by whichever process comes first; the others wait for it.

    Args:
        recipe: of this training
        split: its speakers
        place: its folder
        shared: whether other runs use that too; a finished one there is then taken even with `overwrite`
        fit: trains it
        options: of that
    """
    if not shared:
        if not (options["resume"] and _begun(place, recipe) and (place / CHECKPOINT).exists()):
            fit(recipe, split, place, **options)
            draw(place, recipe.name)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(place.with_name(f"{place.name}.lock")):
        begun = _begun(place, recipe)
        if begun and (place / CHECKPOINT).exists():
            return
        # What another run began and did not finish is gone on with, whatever this one was asked.
        fit(recipe, split, place, **{**options, "resume": begun or options["resume"]})
        draw(place, recipe.name)


def _begun(place: Path, recipe: Recipe) -> bool:
    """Whether a training of this recipe stands in the folder, finished or not."""
    return (place / "recipe.yaml").exists() and is_recipe_of(place / "recipe.yaml", recipe)


def draw(folder: Path, name: str) -> None:
    """Draw the history of a finished training beside it."""
    if not processes.is_first():
        return
    draw_history(json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["history"], folder, name)
