"""From answers to the figures of metrics.json."""

from __future__ import annotations

import datetime
import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from sercli import __version__
from sercli.evaluation.answers import UNANSWERED, UNLABELLED, Answers, voice
from sercli.evaluation.bootstrap import Indices, Resample
from sercli.evaluation.calibration import calibration
from sercli.evaluation.corruption import Corruption
from sercli.evaluation.dimensional import dimensional
from sercli.evaluation.groups import duration_bins, groups
from sercli.evaluation.metrics import classification, soft_label
from sercli.evaluation.task import ratings, table_sha256, votes

FORMAT = 1
"""Of metrics.json; see metrics.schema.json."""
LEVEL = 0.95
"""Coverage of the intervals."""
PACKAGES = ("numpy", "onnxruntime", "soundfile", "soxr", "torch", "transformers")


@dataclass(frozen=True)
class Settings:
    """How figures are computed."""

    seed: int = 0
    """of the bootstrap and of what is random in corruptions"""
    draws: int = 2_000
    """bootstrap samples"""
    scale: tuple[float, float] | None = None
    """lowest and highest arousal, valence and dominance of the data; None: the corpus's own"""

    def bootstrap(self, unit: str = "speaker") -> dict[str, Any]:
        """Describe the resampling, as in metrics.json."""
        return {"draws": self.draws, "level": LEVEL, "seed": self.seed, "unit": unit}


def measure(answers: Answers, settings: Settings, threshold: float | None = None) -> dict[str, Any]:
    """Compute every figure that the answers allow.

    Args:
        answers: of one model, or of one model per fold pooled (each speaker tested once)
        settings: of the bootstrap and of the ratings
        threshold: below which the model abstains; None where it never does

    Returns:
        the parts `bootstrap`, `figures`, `calibration` and `groups` of metrics.json
    """
    speakers = answers.speakers
    resample = Resample(speakers, settings.draws, LEVEL, settings.seed)
    utterances = answers.task.utterances
    known = sum(bool(utterance.speaker) for utterance in utterances)
    unit = "speaker" if known == len(utterances) else "speaker where known" if known else "utterance"
    found: dict[str, Any] = {"bootstrap": settings.bootstrap(unit), "figures": {}}
    labelled = answers.targets != UNLABELLED
    if labelled.any():
        asked, drawn = answers.only(labelled), resample.only(labelled)
        found["figures"] = classification(asked.targets, asked.predictions, asked.task.labels, drawn)
        given = votes(asked.task.utterances, asked.task.labels)
        if given.any():
            found["figures"]["soft_cross_entropy"] = soft_label(asked.scores, given, drawn)
        heard = asked.predictions != UNANSWERED
        if heard.any():
            found["calibration"] = calibration(
                asked.scores[heard], asked.targets[heard], asked.task.labels, drawn.only(heard), threshold
            )
        found["groups"] = groups(
            asked.targets,
            asked.predictions,
            asked.task.labels,
            _columns(asked),
            asked.speakers,
            settings.draws,
            settings.seed,
        )
    if np.isfinite(answers.dimensions).any():
        agreement = dimensional(ratings(utterances, settings.scale), answers.dimensions, resample)
        found["figures"] |= {"dimensions": agreement} if agreement else {}
    return found


def robustness(answers: Answers, corruptions: Sequence[Corruption], settings: Settings) -> dict[str, Any]:
    """UA and WA under every corruption, next to clean speech from the same clips."""
    asked = answers.only(answers.targets != UNLABELLED)
    resample = Resample(asked.speakers, settings.draws, LEVEL, settings.seed)

    def figures(predictions: Indices) -> dict[str, Any]:
        found = classification(asked.targets, predictions, asked.task.labels, resample)
        ua = found["ua"]
        return {"ua": ua["value"], "low": ua["low"], "high": ua["high"], "wa": found["wa"]["value"]}

    return {
        "clean": figures(asked.predictions),
        "cells": [
            {
                "kind": corruption.kind,
                "level": corruption.level,
                "value": corruption.value,
                **figures(asked.spoilt[corruption.kind, corruption.level]),
            }
            for corruption in corruptions
        ],
        "seed": settings.seed,
    }


def by_fold(answers: Answers) -> dict[str, Any]:
    """UA and WA of every fold, and their mean and (population) standard deviation over folds.

    UA of a fold is over the classes that occur in it: not every speaker of EmoDB has all seven.
    """
    answers = answers.only(answers.targets != UNLABELLED)
    folds: dict[str, Any] = {}
    for name in dict.fromkeys(answers.fold):
        part = answers.only(np.array([fold == name for fold in answers.fold]))
        found = classification(part.targets, part.predictions, part.task.labels, Resample(part.speakers, draws=1))
        folds[name] = {
            "ua": found["ua"]["value"],
            "wa": found["wa"]["value"],
            "clips": len(part.targets),
            "classes": len(set(part.targets.tolist())),
            "speakers": sorted(set(part.speakers)),
        }
    over = {
        key: {
            "mean": round(float(np.mean([fold[key] for fold in folds.values()])), 2),
            "std": round(float(np.std([fold[key] for fold in folds.values()])), 2),
        }
        for key in ("ua", "wa")
    }
    return {"folds": folds, "over_folds": over}


def described(parts: Sequence[Answers]) -> dict[str, Any]:
    """Say what was asked, in one task or several: the part `data` of metrics.json, but for the protocol."""
    asked = {(u.path, u.start): (u, float(s)) for p in parts for u, s in zip(p.task.utterances, p.seconds, strict=True)}
    utterances = [utterance for utterance, _ in asked.values()]
    return {
        "corpora": dict(sorted(Counter(utterance.corpus for utterance in utterances).items())),
        "label_set": parts[0].task.label_set,
        "labels": list(dict.fromkeys(label for part in parts for label in part.task.labels)),
        "utterances": len(utterances),
        "speakers": len({(u.corpus, u.speaker) for u in utterances if u.speaker}),
        "seconds": round(sum(seconds for _, seconds in asked.values()), 1),
        "left_out": parts[0].task.left_out if len(parts) == 1 else {},
        "table_sha256": table_sha256(utterances),
    }


def today() -> str:
    """Date in UTC, YYYY-MM-DD."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def versions() -> dict[str, str]:
    """Versions of everything that can change a figure."""
    found = {"sercli": __version__, "python": platform.python_version(), "machine": platform.machine()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _columns(answers: Answers) -> dict[str, list[str]]:
    utterances = answers.task.utterances
    return {
        "gender": [utterance.gender for utterance in utterances],
        "speaker": [voice(utterance) for utterance in utterances],
        "corpus": [utterance.corpus for utterance in utterances],
        "duration": duration_bins(answers.seconds),
    }
