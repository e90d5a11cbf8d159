"""`sercli distill`: a student from a teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sercli.cli import extras
from sercli.cli.train import run_options, run_recipe
from sercli.errors import RecipeError


@click.command()
@run_options
def distill(recipe: Path, overrides: tuple[str, ...], **options: Any) -> None:
    """Train a student from RECIPE, a YAML file that names its teacher; KEY=VALUE overrides its keys.

    The encoders of the recipe's teacher hear every clip once (`sercli cache info` shows what is kept); probes on them
    are fitted to the run's training speakers only. Stages before the main one come first, each in its own folder. A
    recipe with split.protocol does all this in every fold.
    """
    extras.require("train", "sercli distill")
    from sercli.training.recipe_file import load_recipe

    resolved = load_recipe(recipe, overrides)
    if not resolved.teacher.named:
        raise RecipeError(f"{recipe}: names no teacher; train it plainly with `sercli train`")
    run_recipe(resolved, **options)
