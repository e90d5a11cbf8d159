"""What a trained run is worth: figures on its development and test speakers, calibration, and the files that say so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import Trainer

from sercli.corpora.splits import Speaker, Split
from sercli.corpora.table import Utterance
from sercli.evaluation.metrics import summary
from sercli.labels import labels_of
from sercli.training.calibrate import calibrate
from sercli.training.loop import Items, answers, best_epoch, history
from sercli.training.recipe import Recipe
from sercli.training.run_folder import CHECKPOINT, METRICS, material, write_json

Answers = Mapping[str, npt.NDArray[np.float32]]
Figures = dict[str, Any]


def conclude(
    recipe: Recipe,
    split: Split,
    folder: Path,
    trainer: Trainer,
    items: Callable[[list[Utterance]], Items],
    facts: Mapping[str, Any],
    *,
    also_heard: Sequence[Utterance] = (),
    known: Iterable[Speaker] = (),
    further: Callable[[Answers, list[Utterance]], Figures] | None = None,
    report: Mapping[str, Any] | None = None,
) -> tuple[Figures | None, Figures | None]:
    """Test a trained network and complete its run folder.

    Args:
        recipe: of the run
        split: its speakers
        folder: where it stands
        trainer: with the trained network
        items: utterances as the network takes them
        facts: of the network, for checkpoint.json
        also_heard: unlabelled utterances that it knows too
        known: speakers that it knew before
        further: figures of outputs other than the classes
        report: more for metrics.json

    Returns:
        figures on the development speakers and on the test speakers, None for a side without any
    """
    labels = labels_of(recipe.corpus.labels)
    figures: dict[str, Figures | None] = {"dev": None, "test": None}
    temperature, threshold = None, None
    for side, utterances in (("dev", split.dev), ("test", split.test)):
        if not utterances:
            continue
        found = answers(trainer, items(utterances))
        more = further(found, utterances) if further else {}
        labelled = [bool(utterance.emotion) for utterance in utterances]
        named = [utterance for utterance in utterances if utterance.emotion]
        logits = found["logits"][labelled]
        figures[side] = one = {**_figures(logits, named, labels), **more}
        if side == "dev":
            temperature, threshold = calibrate(logits, np.array(one["targets"]), _corpus_weights(named))
    metrics = {
        **figures,
        **(report or {}),
        "best_epoch": best_epoch(trainer),
        "material": material(split, also_heard, known),
        "history": history(trainer),
    }
    checkpoint = {
        "name": recipe.name,
        **facts,
        "labels": list(labels),
        "temperature": temperature,
        "abstain_threshold": threshold,
    }
    write_json(folder / METRICS, metrics)
    write_json(folder / CHECKPOINT, checkpoint)  # last: its presence says that the run is complete
    return figures["dev"], figures["test"]


def _figures(logits: npt.NDArray[np.float32], utterances: list[Utterance], labels: tuple[str, ...]) -> Figures:
    targets = np.array([labels.index(utterance.emotion) for utterance in utterances])
    speakers = [f"{utterance.corpus}/{utterance.speaker}" for utterance in utterances]
    guesses = np.argmax(logits, axis=1)
    return {
        **summary(targets, guesses, speakers, labels),
        "predictions": guesses.tolist(),
        "targets": targets.tolist(),
        "speaker_of": speakers,
    }


def _corpus_weights(utterances: list[Utterance]) -> npt.NDArray[np.float64]:
    """Let every corpus count alike, shape (utterances,): the largest must not set the calibration alone."""
    sizes = Counter(utterance.corpus for utterance in utterances)
    return np.array([1.0 / sizes[utterance.corpus] for utterance in utterances])
