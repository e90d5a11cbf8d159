"""`sercli train`: a model from a recipe."""

from __future__ import annotations

from pathlib import Path

import click

from sercli.cli import extras, output
from sercli.errors import UsageError


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--output", "-o", "folder", type=click.Path(path_type=Path), help="Run folder.  [default: runs/NAME]")
@click.option(
    "--data", type=click.Path(path_type=Path), help="Folder of corpora, one folder each.  [default: $SERCLI_DATA]"
)
@click.option("--fold", help="Train and test one fold of the recipe's protocol, for example 3.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint; finished folds are kept.")
@click.option("--overwrite", is_flag=True, help="Start anew in a folder that holds a run.")
@click.option("--quiet", "-q", is_flag=True, help="No progress bar.")
def train(
    recipe: Path,
    overrides: tuple[str, ...],
    folder: Path | None,
    data: Path | None,
    fold: str | None,
    resume: bool,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Train a model from RECIPE, a YAML file; KEY=VALUE overrides its keys (optim.epochs=20).

    A recipe with split.holdout trains the model itself; turn the run folder into a student with `sercli export`. One
    with split.protocol trains every fold, or one of them (--fold); `sercli eval --recipe` trains and reports all.
    """
    extras.require("train", "sercli train")
    from sercli.training.recipe import load_recipe
    from sercli.training.run import fold_split, named_fold, read_sources, recipe_protocol, train_fold, train_one

    if resume and overwrite:
        raise UsageError("--resume goes on, --overwrite starts anew; give one of them")
    resolved = load_recipe(recipe, overrides)
    if fold is not None and not resolved.split.protocol:
        raise UsageError("--fold needs a recipe with split.protocol; this one has no folds")
    folder = folder or Path("runs") / resolved.name
    if not resolved.split.protocol:
        dev = train_one(resolved, folder, data, resume=resume, overwrite=overwrite, quiet=quiet)
        output.result(f"{resolved.name}: development UA {dev['ua']:.2f}, WA {dev['wa']:.2f}, {dev['clips']} clips")
        return
    utterances = read_sources(resolved, data)
    published = recipe_protocol(resolved, utterances)
    for chosen in published.folds if fold is None else [named_fold(published, fold)]:
        place = folder / f"fold-{chosen.name}"
        sides = fold_split(resolved, utterances, published, chosen)
        test = train_fold(resolved, sides, place, resume=resume, overwrite=overwrite, quiet=quiet)["test"]
        name = f"{resolved.name} {published.name} fold {chosen.name}"
        output.result(f"{name}: UA {test['ua']:.2f}, WA {test['wa']:.2f}, {test['clips']} clips")
