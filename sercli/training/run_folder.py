"""The folder of one run: begun, resumed, and what it finally says about itself.

recipe.yaml         the resolved recipe
checkpoint-N/       of transformers' Trainer after step N, the last and the best
model.safetensors   weights
metrics.json        figures, material, history
checkpoint.json     what the weights belong to; last: its presence says that the run is complete
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from sercli.corpora.splits import Speaker, Split
from sercli.corpora.table import Utterance
from sercli.errors import OutputError
from sercli.training import processes
from sercli.training.recipe import Recipe
from sercli.training.recipe_file import dump_recipe, is_recipe_of

WEIGHTS = "model.safetensors"
METRICS = "metrics.json"
CHECKPOINT = "checkpoint.json"


def prepare(folder: Path, recipe: Recipe, resume: bool, overwrite: bool) -> str | None:
    """Make the folder, refuse to mix runs, and find the checkpoint to go on from.

    Raises:
        OutputError: the folder holds a run already, or another recipe's, or cannot be written
    """
    recipe_file = folder / "recipe.yaml"
    if recipe_file.exists():
        if not (resume or overwrite):
            raise OutputError(f"{folder}: holds a run already; add --resume to go on or --overwrite to start anew")
        if resume and not is_recipe_of(recipe_file, recipe):
            raise OutputError(f"{recipe_file}: differs from the recipe asked for; use another --output")
    try:
        if not resume:
            _clear(folder)
        folder.mkdir(parents=True, exist_ok=True)
        recipe_file.write_text(dump_recipe(recipe), encoding="utf-8")
    except OSError as problem:
        raise OutputError(f"{folder}: cannot be written ({problem.strerror}); choose another --output") from problem
    return _last_checkpoint(folder) if resume else None


def material(split: Split, also_heard: Sequence[Utterance] = (), known: Iterable[Speaker] = ()) -> dict[str, Any]:
    """Who was heard in training and selection, per corpus: what a later evaluation must not call unseen.

    Args:
        split: labelled utterances
        also_heard: unlabelled ones
        known: speakers that the weights knew before the run, whose utterances are not counted
    """
    sides: dict[str, Any] = {}
    heard = {"train": [*split.train, *also_heard], "dev": split.dev, "test": split.test}
    for side, utterances in heard.items():
        clips: dict[str, set[tuple[str, float]]] = {}
        speakers: dict[str, set[str]] = {}
        for utterance in utterances:
            clips.setdefault(utterance.corpus, set()).add((utterance.path, utterance.start))
            speakers.setdefault(utterance.corpus, set()).add(utterance.speaker)
        for corpus, speaker in known if side == "train" else ():
            clips.setdefault(corpus, set())
            speakers.setdefault(corpus, set()).add(speaker)
        sides[side] = {
            corpus: {"utterances": len(found), "speakers": sorted(speakers[corpus])}
            for corpus, found in sorted(clips.items())
        }
    return sides


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a file of a run whole or not at all; of several processes the first does."""
    if not processes.is_first():
        return
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(values, indent=1), encoding="utf-8")
    partial.rename(path)


def _clear(folder: Path) -> None:
    """Take away what an earlier run left, or it would be resumed and exported as if it were this run's."""
    for name in (CHECKPOINT, METRICS, WEIGHTS):
        (folder / name).unlink(missing_ok=True)
    for checkpoint in _checkpoints(folder):
        shutil.rmtree(checkpoint)


def _last_checkpoint(folder: Path) -> str | None:
    """Find the last whole checkpoint; its state is written last, so one without it was cut short."""
    whole = [checkpoint for checkpoint in _checkpoints(folder) if (checkpoint / TRAINER_STATE_NAME).exists()]
    return str(whole[-1]) if whole else None


def _checkpoints(folder: Path) -> list[Path]:
    """Checkpoint folders of transformers' Trainer by step."""
    found = [path for path in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*") if path.name.rpartition("-")[2].isdigit()]
    return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]))
