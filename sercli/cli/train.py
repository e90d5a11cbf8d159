"""`sercli train`: a model from a recipe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sercli.cli import extras, output
from sercli.cli.options import FILE, data_option
from sercli.errors import RecipeError, UsageError

if TYPE_CHECKING:
    from sercli.training.recipe import Recipe

OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.argument("recipe", type=FILE),
    click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]..."),
    click.option(
        "-o",
        "--output",
        "folder",
        metavar="DIR",
        type=FILE,
        help="Run folder, such as `-o runs/mine`.  [default: runs/NAME, NAME being the recipe's]",
    ),
    data_option,
    click.option(
        "--fold",
        metavar="NAME",
        help="Train and test one fold of the recipe's protocol, such as `--fold 3`.  [default: all]",
    ),
    click.option("--resume", is_flag=True, help="Go on from the last checkpoint; finished folds are kept."),
    click.option("--overwrite", is_flag=True, help="Start anew in a folder that holds a run."),
    click.option("--quiet", "-q", is_flag=True, help="No progress bar."),
)


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the arguments and options of a command that runs a recipe."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@click.command()
@run_options
def train(recipe: Path, overrides: tuple[str, ...], **options: Any) -> None:
    """Train a student or a teacher from RECIPE, a YAML file; KEY=VALUE overrides its keys (optim.epochs=20).

    A recipe with an encoder trains a teacher: a head on the layers of a large speech encoder, whose states are computed
    once and kept (`sercli cache info`), or some of those layers too (encoder.trained_layers). `sercli eval` tests the
    run folder, and teacher.students of another recipe lets it teach.

    A recipe with split.holdout trains the model itself; turn a student's run folder into a bundle with `sercli export`.
    One with split.protocol trains every fold, or one of them (--fold); `sercli eval --recipe` trains and reports all.
    """
    extras.require("train", "sercli train")
    from sercli.training.recipe_file import load_recipe

    resolved = load_recipe(recipe, overrides)
    if resolved.teacher.named:
        raise RecipeError(f"{recipe}: names a teacher; use `sercli distill`, or leave it out")
    run_recipe(resolved, **options)


def run_recipe(
    recipe: Recipe, folder: Path | None, data: Path | None, fold: str | None, resume: bool, overwrite: bool, quiet: bool
) -> None:
    """Train the recipe's model, or the folds of its protocol, and print a line for each; of all, also UA over them."""
    from sercli.corpora.splits import LEAKS
    from sercli.training.processes import check, is_first
    from sercli.training.recipe_gmp import is_transductive
    from sercli.training.run import (
        fold_split,
        for_fold,
        named_fold,
        read_sources,
        recipe_protocol,
        train_fold,
        train_one,
    )

    check(recipe)
    say = output.result if is_first() else _silent
    if resume and overwrite:
        raise UsageError("--resume goes on, --overwrite starts anew; give one of them")
    if fold is not None and not recipe.split.protocol:
        raise UsageError("--fold needs a recipe with split.protocol; this one has no folds")
    folder = folder or Path("runs") / recipe.name
    if not recipe.split.protocol:
        dev = train_one(recipe, folder, data, resume=resume, overwrite=overwrite, quiet=quiet)
        say(f"{recipe.name}: development UA {dev['ua']:.2f}, WA {dev['wa']:.2f}, {dev['clips']} clips")
        return
    utterances = read_sources(recipe, data)
    published = recipe_protocol(recipe, utterances)
    if published.leaks:
        output.note(f"warning: {published.name}: {LEAKS}")
    mark = " (transductive: heard the test speakers without labels)" if is_transductive(recipe.method) else ""
    tests = []
    for chosen in published.folds if fold is None else [named_fold(published, fold)]:
        place = folder / f"fold-{chosen.name}"
        sides = fold_split(recipe, utterances, published, chosen)
        of_fold = for_fold(recipe, chosen.name)
        test = train_fold(of_fold, sides, place, data, resume=resume, overwrite=overwrite, quiet=quiet)["test"]
        name = f"{recipe.name} {published.name} fold {chosen.name}"
        say(f"{name}: UA {test['ua']:.2f}, WA {test['wa']:.2f}, {test['clips']} clips{mark}")
        tests.append(test)
    if fold is None and published.by != "corpus":
        output.note(f"{recipe.name} {published.name}: {_over_folds(tests)}")


def _silent(_: str) -> None:
    """Leave it to the first process to tell."""


def _over_folds(tests: list[dict[str, Any]]) -> str:
    """Say what the figures of all folds come to: each fold alike, and each clip alike."""
    import numpy as np

    from sercli.evaluation.metrics import unweighted_accuracy

    mean = np.mean([test["ua"] for test in tests])
    targets, said = (np.concatenate([test[key] for test in tests]) for key in ("targets", "predictions"))
    pooled = 100.0 * unweighted_accuracy(targets, said, len(tests[0]["recall"]))
    return f"mean UA of {len(tests)} folds {mean:.2f}, UA of all {len(targets)} clips together {pooled:.2f}"
