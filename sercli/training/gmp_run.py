"""GMP-ATL: a teacher trained in three stages, each resumable, each with figures of its own (see recipe_gmp).

    folder/stage-a-gender                   encoder, emotion and gender
    folder/stage-b-gender-6x64-9x128-12x256 clusters of its states, and the encoder that learned to say them
    folder                                  stage C, a teacher as `sercli train` makes them: it answers, and teaches

Stages A and B stand in `method.gmp-atl.folder` instead where several runs share them, as the steps of an ablation do.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

from sercli.corpora.splits import Split
from sercli.errors import RecipeError
from sercli.evaluation.model import heard_by
from sercli.methods.am_softmax import AdditiveMarginSoftmax
from sercli.methods.ce import CrossEntropy
from sercli.training.pseudo_run import train_labeller
from sercli.training.recipe import Recipe
from sercli.training.recipe_file import plain
from sercli.training.recipe_gmp import NAME, GmpAtl, Margin
from sercli.training.recipe_student import OptimPart
from sercli.training.run_folder import METRICS, WEIGHTS
from sercli.training.stage import draw, train_stage
from sercli.training.start import unheard
from sercli.training.teacher_run import check_cached, open_trunk, train_teacher
from sercli.training.trainer import Trained


def train_gmp(
    recipe: Recipe,
    split: Split,
    folder: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> Trained:
    """Train a teacher by GMP-ATL on a split.

    Args:
        recipe: with an encoder of which layers are trained, and the method
        split: speaker-disjoint utterances, already in the recipe's label set
        folder: of the run
        resume: go on with the stage and the epoch where an earlier run stopped
        overwrite: start anew
        quiet: no progress bars

    Raises:
        RecipeError: a frozen encoder, or a scale of a layer that it does not have or does not keep
        LeakError: stages that several runs share have heard somebody whom this run holds out
        CorpusError, BundleError, ModelNotFoundError, OutputError: as `train_teacher`
    """
    plan = GmpAtl.of(recipe.method)
    if recipe.encoder.trained_layers == 0:
        raise RecipeError("encoder.trained_layers: must not be 0, since the stages hand the trained layers on")
    if recipe.outputs:
        raise RecipeError(f"outputs: stage A says gender by method.{NAME}.gender; leave it out")
    scales = _scales(recipe, plan)
    home, shared = Path(plan.folder) if plan.folder else folder, bool(plan.folder)
    options: dict[str, Any] = {"resume": resume, "overwrite": overwrite, "quiet": quiet}
    start: Path | None = None

    def stage(name: str, stage_recipe: Recipe, fit: Any) -> Path:
        place = home / name
        train_stage(stage_recipe, split, place, shared, fit, **options)
        if shared and not split.leaks:
            heard = heard_by(place / METRICS)
            if heard is not None:  # this run's development speakers may have chosen the stage's epoch, as they do here
                heard = dataclasses.replace(heard, dev=heard.dev - {(u.corpus, u.speaker) for u in split.dev})
            held_out = split.test if recipe.split.train_on_dev else [*split.dev, *split.test]
            unheard(f"method.{NAME}.folder", str(place), heard, held_out)
        return place / WEIGHTS

    kind = "gender" if plan.gender else "emotion"
    if plan.a is not None:
        start = stage(f"stage-a-{kind}", _stage_a(recipe, plan, plan.a), train_teacher)
    if scales:
        assert start is not None  # the plan sees to it
        name = "-".join(["stage-b", kind, *(f"{layer}x{k}" for layer, k in scales)])
        start = stage(name, _stage_b(recipe, plan, scales), partial(train_labeller, start=start))
    heard = split.test if plan.transductive and scales else []
    c = _stage_c(recipe, plan)
    trained = train_teacher(c, split, folder, start=start, also_heard=heard, asked=recipe, **options)
    draw(folder, recipe.name)
    return trained


def _scales(recipe: Recipe, plan: GmpAtl) -> tuple[tuple[int, int], ...]:
    """Check the scales against the encoder, before anything is trained."""
    encoder, _ = open_trunk(recipe.encoder)
    scales = plan.scales_of(encoder.layers)
    key = f"method.{NAME}.scales"
    if wrong := [layer for layer, _ in scales if not 0 <= layer <= encoder.layers]:
        raise RecipeError(f"{key}: {encoder.name} has layers 0 to {encoder.layers}, not {wrong[0]}")
    check_cached(recipe.encoder, encoder, [layer for layer, _ in scales], key)
    return scales


def _stage_a(recipe: Recipe, plan: GmpAtl, optim: OptimPart) -> Recipe:
    """A teacher of emotion, and of gender where that counts."""
    return dataclasses.replace(
        recipe,
        name="stage-a",  # not the run's: several runs may go on from it
        method={CrossEntropy.name: {"label_smoothing": plan.label_smoothing}},
        outputs={"gender": plan.gender} if plan.gender else {},
        optim=optim,
    )


def _stage_b(recipe: Recipe, plan: GmpAtl, scales: tuple[tuple[int, int], ...]) -> Recipe:
    """All that stage B depends on, and nothing that only stage C does."""
    part = dataclasses.replace(plan, scales=scales, am=Margin(), folder="")
    return dataclasses.replace(recipe, name="stage-b", method={NAME: plain(part)}, optim=plan.b)


def _stage_c(recipe: Recipe, plan: GmpAtl) -> Recipe:
    """A teacher of emotion, on cosines with a margin or plainly."""
    if plan.am.s == 0:
        return dataclasses.replace(recipe, method={CrossEntropy.name: {"label_smoothing": plan.label_smoothing}})
    head = {**recipe.head, "scale": plan.am.s}
    return dataclasses.replace(recipe, head=head, method={AdditiveMarginSoftmax.name: {"margin": plan.am.m}})
