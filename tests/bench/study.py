"""Compare variants of a recipe on test speakers: `python -m tests.bench.study --against NAME NAME=RUN... -o FOLDER`.

Each RUN is the folder of a protocol whose folds were trained; a NAME that comes several times is of several seeds, for
example `ce=runs/ce-0 ce=runs/ce-1 beta2=runs/beta2-0`. FOLDER gets

    folds.csv        variant, seed, fold, UA and WA, in percent
    differences.csv  of every variant to the named one, over the folds and seeds that both have: paired bootstrap over
                     speakers, all seeds of a speaker drawn together
    beta.png         UA against the beta of `dkdfmh`; variants without one as lines
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from sercli.evaluation.compare import compare
from sercli.labels import LABEL_SETS
from sercli.training.recipe_file import load_resolved

Place = tuple[int, str]
"""Seed and fold."""


@dataclass(frozen=True)
class Variant:
    """What was trained in one way: its tests by seed and fold."""

    tests: Mapping[Place, Mapping[str, Any]]
    labels: tuple[str, ...]
    beta: float | None


def read(runs: Sequence[Path]) -> Variant:
    """Read the finished folds of a variant's runs.

    Raises:
        ValueError: none, or two of one seed and fold
    """
    tests: dict[Place, Mapping[str, Any]] = {}
    for folder in (fold for run in runs for fold in sorted(run.glob("fold-*"))):
        if not (folder / "checkpoint.json").exists():
            continue
        recipe = load_resolved(folder / "recipe.yaml")
        place = recipe.seed, folder.name.removeprefix("fold-")
        if place in tests:
            raise ValueError(f"{folder}: seed and fold are there already; name each run once")
        tests[place] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["test"]
    if not tests:
        raise ValueError(f"{', '.join(map(str, runs))}: no finished fold")
    beta = recipe.method.get("dkdfmh", {}).get("beta")
    return Variant(tests, LABEL_SETS[recipe.corpus.labels], beta)


def difference(first: Variant, second: Variant) -> dict[str, Any]:
    """Compare two variants on what both were tested on; in percent, second less first.

    Raises:
        ValueError: they share no seed and fold, or were tested on other clips
    """
    shared = sorted(first.tests.keys() & second.tests.keys())
    if not shared:
        raise ValueError("no seed and fold in common")
    if any(first.tests[at][key] != second.tests[at][key] for at in shared for key in ("targets", "speaker_of")):
        raise ValueError("tested on other clips; take the same corpus and protocol")

    def joined(variant: Variant, key: str) -> list[Any]:
        return [value for at in shared for value in variant.tests[at][key]]

    one, other = (np.array(joined(variant, "predictions")) for variant in (first, second))
    found = compare(np.array(joined(first, "targets")), one, other, first.labels, joined(first, "speaker_of"))
    keys = ("first", "second", "difference", "low", "high", "p")
    figures = {f"{name}_{key}": found[name][key] for name in ("ua", "wa") for key in keys}
    return {"seeds": len({seed for seed, _ in shared}), "tests": len(shared), **figures}


def rows(variants: Mapping[str, Variant]) -> Iterator[dict[str, Any]]:
    """Figures of every variant, seed and fold."""
    for name, variant in variants.items():
        for (seed, fold), test in sorted(variant.tests.items()):
            yield {"variant": name, "seed": seed, "fold": fold, "ua": test["ua"], "wa": test["wa"]}


def draw(variants: Mapping[str, Variant], path: Path) -> None:
    """Draw UA, mean of folds, against beta: a dot for each seed, a line through their means."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    curve = {}
    for number, (name, variant) in enumerate(variants.items()):
        of_seed: dict[int, list[float]] = {}
        for (seed, _), test in variant.tests.items():
            of_seed.setdefault(seed, []).append(test["ua"])
        values = [mean(folds) for folds in of_seed.values()]
        if variant.beta is None:
            axes.axhline(mean(values), color=f"C{number}", linestyle="--", linewidth=1, label=name)
        else:
            axes.plot([variant.beta] * len(values), values, ".", color="0.5")
            curve[variant.beta] = mean(values)
    if curve:
        axes.plot(*zip(*sorted(curve.items()), strict=True), "o-", color="black", label="dkdfmh")
        axes.set_xscale("log", base=2)
    axes.set(xlabel="beta", ylabel="UA, mean of folds, %")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def write(path: Path, table: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of the same columns."""
    with path.open("w", encoding="utf-8", newline="") as file:
        sink = csv.DictWriter(file, list(table[0]), lineterminator="\n")
        sink.writeheader()
        sink.writerows(table)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the study."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.study", description=__doc__.partition(":")[0])
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN")
    parser.add_argument("--against", required=True, metavar="NAME")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    folders: dict[str, list[Path]] = {}
    for entry in options.runs:
        name, _, run = entry.partition("=")
        folders.setdefault(name, []).append(Path(run))
    if options.against not in folders:
        parser.error(f"--against {options.against}: none of {', '.join(folders)}")
    variants = {name: read(runs) for name, runs in folders.items()}
    reference = variants[options.against]
    options.output.mkdir(parents=True, exist_ok=True)
    write(options.output / "folds.csv", list(rows(variants)))
    others = {name: variant for name, variant in variants.items() if variant is not reference}
    if others:
        table = [
            {"variant": name, "against": options.against, **difference(reference, v)} for name, v in others.items()
        ]
        write(options.output / "differences.csv", table)
    draw(variants, options.output / "beta.png")


if __name__ == "__main__":
    main()
