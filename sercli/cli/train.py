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

    A recipe with split.protocol trains and tests every fold and writes results.json; one with split.holdout trains
    the model itself. Turn the run folder into a student with `sercli export`.
    """
    extras.require("train", "sercli train")
    from sercli.training.recipe import load_recipe
    from sercli.training.run import cross_validate, train_fold, train_one

    if resume and overwrite:
        raise UsageError("--resume goes on, --overwrite starts anew; give one of them")
    resolved = load_recipe(recipe, overrides)
    if fold is not None and not resolved.split.protocol:
        raise UsageError("--fold needs a recipe with split.protocol; this one has no folds")
    folder = folder or Path("runs") / resolved.name
    if not resolved.split.protocol:
        dev = train_one(resolved, folder, data, resume=resume, overwrite=overwrite, quiet=quiet)
        output.result(f"{resolved.name}: development UA {dev['ua']:.2f}, WA {dev['wa']:.2f}, {dev['clips']} clips")
    elif fold is not None:
        test = train_fold(resolved, fold, folder, data, resume=resume, overwrite=overwrite, quiet=quiet)["test"]
        output.result(f"{resolved.name} fold {fold}: UA {test['ua']:.2f}, WA {test['wa']:.2f}, {test['clips']} clips")
    else:
        results = cross_validate(resolved, folder, data, resume=resume, overwrite=overwrite, quiet=quiet)
        pooled = results["pooled"]
        output.result(
            f"{resolved.name} {results['protocol']}: "
            f"UA {results['ua_mean']:.2f} +- {results['ua_std']:.2f} over folds, "
            f"pooled {pooled['ua']:.2f} (95 % {pooled['ua_interval'][0]:.1f} to {pooled['ua_interval'][1]:.1f}), "
            f"WA {results['wa_mean']:.2f}"
        )
