"""From a recipe to trained folders: reads corpora, splits by speaker, trains one model or every fold of a protocol."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sercli.corpora import read_corpus
from sercli.corpora.splits import Split, holdout, named_holdout, protocol, split
from sercli.corpora.table import Utterance, is_table
from sercli.errors import OutputError, RecipeError, UsageError
from sercli.evaluation.metrics import summary
from sercli.labels import LABEL_SETS, relabel
from sercli.training.recipe import Recipe, Source, dump_recipe


def read_sources(recipe: Recipe, data: Path | None) -> list[Utterance]:
    """Read the recipe's corpora in its label set.

    Args:
        recipe: names the corpora
        data: folder that holds one folder per corpus, for sources without a root; default $SERCLI_DATA

    Raises:
        RecipeError: no corpus, unknown label set, or nobody says where a corpus lies
    """
    if not recipe.corpus.sources:
        raise RecipeError("corpus.sources: name at least one corpus (`sercli corpus list`)")
    if recipe.corpus.labels not in LABEL_SETS:
        raise RecipeError(f"corpus.labels: no label set {recipe.corpus.labels!r}; known: {', '.join(LABEL_SETS)}")
    utterances: list[Utterance] = []
    for source in recipe.corpus.sources:
        found = relabel(read_corpus(source.name, _root(source, data)), recipe.corpus.labels)
        # on the utterances, because the corpora of a table or folder are not named as the source is
        utterances += [dataclasses.replace(item, weight=item.weight * source.weight) for item in found]
    return utterances


def _root(source: Source, data: Path | None) -> Path | None:
    if is_table(source.name):
        return None
    if source.root:
        return Path(source.root).expanduser()
    folder = data or (Path(os.environ["SERCLI_DATA"]) if os.environ.get("SERCLI_DATA") else None)
    if folder is None:
        where = "where is it? Give --data DIR, set SERCLI_DATA, or its root in the recipe"
        raise RecipeError(f"corpus {source.name}: {where}")
    return folder / source.name


def release_split(recipe: Recipe, utterances: list[Utterance]) -> Split:
    """Split without a test side: development speakers by name, everyone else trains."""
    if recipe.split.dev_speakers:
        return holdout(utterances, _dev_speakers(recipe.split.dev_speakers))
    if recipe.split.holdout:
        return holdout(utterances, named_holdout(recipe.split.holdout).dev_speakers)
    raise RecipeError("split: name a protocol, a holdout (`release`) or your own dev_speakers")


def _dev_speakers(values: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    for corpus, names in values.items():
        if not isinstance(names, list | tuple):
            raise RecipeError(f"split.dev_speakers.{corpus}: needs a list of speakers, not {names!r}")
    return {corpus: tuple(map(str, names)) for corpus, names in values.items()}


def train_one(recipe: Recipe, folder: Path, data: Path | None, **options: Any) -> dict[str, Any]:
    """Train on everything but the development speakers; returns the figures on them.

    Raises:
        RecipeError: split.train_on_dev, which would leave nobody to calibrate with
    """
    from sercli.training.trainer import train

    if recipe.split.train_on_dev:
        raise RecipeError("split.train_on_dev: only for a protocol's folds; a student needs development speakers")
    dev = train(recipe, release_split(recipe, read_sources(recipe, data)), folder, **options).dev
    assert dev is not None
    return dev


def train_fold(recipe: Recipe, name: str, folder: Path, data: Path | None, **options: Any) -> dict[str, Any]:
    """Train and test one fold of the recipe's protocol in its own folder, or read what an earlier run left there.

    Raises:
        UsageError: the protocol has no such fold
    """
    published = protocol(recipe.split.protocol)
    folds = {fold.name: fold for fold in published.folds}
    if name not in folds:
        raise UsageError(f"{published.name} has no fold {name!r}; its folds: {', '.join(folds)}")
    if published.label_set != recipe.corpus.labels:
        raise RecipeError(f"corpus.labels: {published.name} is measured on {published.label_set}")
    place = folder / f"fold-{name}"
    if options.get("resume") and (place / "checkpoint.json").exists():
        if (place / "recipe.yaml").read_text(encoding="utf-8") != dump_recipe(recipe):
            raise OutputError(f"{place / 'recipe.yaml'}: differs from the recipe asked for; use another --output")
        return _read_metrics(place)
    from sercli.training.trainer import train

    train(recipe, split(read_sources(recipe, data), folds[name]), place, **options)
    return _read_metrics(place)


def _read_metrics(folder: Path) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return metrics


def cross_validate(recipe: Recipe, folder: Path, data: Path | None, **options: Any) -> dict[str, Any]:
    """Train and test every fold of the recipe's protocol; finished folds of an earlier run count when resuming.

    Returns:
        figures over all test clips pooled (each speaker is tested once), per fold, and the mean and standard deviation
        over folds; also written to `results.json` in the folder
    """
    published = protocol(recipe.split.protocol)
    folds = {fold.name: train_fold(recipe, fold.name, folder, data, **options) for fold in published.folds}
    tests = [metrics["test"] for metrics in folds.values()]
    labels = LABEL_SETS[recipe.corpus.labels]
    pooled = summary(
        np.concatenate([test["targets"] for test in tests]),
        np.concatenate([test["predictions"] for test in tests]),
        [speaker for test in tests for speaker in test["speaker_of"]],
        labels,
    )
    results = {
        "protocol": published.name,
        "source": published.source,
        "development_speakers": "in training; schedule fixed beforehand, last epoch"
        if recipe.split.train_on_dev
        else published.dev_rule,
        "labels": list(labels),
        "seed": recipe.seed,
        "recipe": dataclasses.asdict(recipe),
        "ua_mean": round(float(np.mean([test["ua"] for test in tests])), 2),
        "ua_std": round(float(np.std([test["ua"] for test in tests])), 2),
        "wa_mean": round(float(np.mean([test["wa"] for test in tests])), 2),
        "wa_std": round(float(np.std([test["wa"] for test in tests])), 2),
        "pooled": pooled,
        "folds": {
            name: {
                "test_speakers": metrics["material"]["test"],
                "dev_ua": metrics["dev"] and metrics["dev"]["ua"],
                "best_epoch": metrics["best_epoch"],
                "ua": metrics["test"]["ua"],
                "wa": metrics["test"]["wa"],
                "recall": metrics["test"]["recall"],
            }
            for name, metrics in folds.items()
        },
    }
    partial = folder / "results.json.part"
    partial.write_text(json.dumps(results, indent=1), encoding="utf-8")
    partial.rename(folder / "results.json")
    return results
