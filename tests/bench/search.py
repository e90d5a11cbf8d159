"""Collect a search over recipes: `python -m tests.bench.search RUN... > table.csv`.

Each RUN is the folder of a protocol whose folds were trained with `split.train_on_dev=false optim.patience=0`. What
counts is the development UA of the last epoch, with the averaged weights: the best epoch would flatter, and test
speakers must not choose. One line per run: its folds, their mean, and how its recipe differs from the first.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

from sercli.training.recipe_file import dump_recipe, load_resolved

IGNORED = {"name", "seed"}


def settings(recipe: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, str]]:
    """Flatten a recipe to dotted keys and values as text."""
    for key, value in recipe.items():
        if isinstance(value, Mapping):
            yield from settings(value, f"{place}{key}.")
        else:
            yield f"{place}{key}", json.dumps(value)


def row(run: Path, reference: Mapping[str, str]) -> dict[str, Any]:
    """Read one run; folds that are not finished are missing from its mean.

    Raises:
        ValueError: it kept no development speakers
    """
    folds, parameters, recipe = {}, 0, {}
    for folder in sorted(run.glob("fold-*")):
        if not (folder / "checkpoint.json").exists():
            continue
        history = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["history"]
        if "eval_ua" not in history[-1]:
            raise ValueError(f"{folder}: no development speakers; train it with split.train_on_dev=false")
        folds[folder.name.removeprefix("fold-")] = round(100 * history[-1]["eval_ua"], 2)
        parameters = json.loads((folder / "checkpoint.json").read_text(encoding="utf-8"))["parameters"]
        recipe = dict(settings(yaml.safe_load(dump_recipe(load_resolved(folder / "recipe.yaml")))))
    different = {key: recipe.get(key, "-") for key in {**reference, **recipe} if recipe.get(key) != reference.get(key)}
    changes = "; ".join(f"{key}={value}" for key, value in sorted(different.items()) if key not in IGNORED)
    return {
        "run": run.name,
        "parameters": parameters,
        "dev_ua": round(mean(folds.values()), 2) if folds else "",
        "folds": " ".join(f"{name}:{ua}" for name, ua in folds.items()),
        "differs": changes,
        "recipe": recipe,
    }


def main(runs: list[Path]) -> None:
    """Write the table to stdout."""
    reference = row(runs[0], {})["recipe"]
    rows = [row(run, reference) for run in runs]
    names = [name for name in rows[0] if name != "recipe"]
    table = csv.DictWriter(sys.stdout, names, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
