"""Distillation of one run: the teacher hears every clip once, its probes answer, the stages follow each other.

A teacher of the run's own is trained before them instead; see own_teacher.

recipe.before[0] -> recipe.before[1] -> ... -> the recipe itself, each with the student's weights of the one before
folder/stage-NAME                              folder

A stage that hears none of the run's own clips (`own: false`) is the same for every fold of a protocol. It is trained
once, beside the folds, by whichever process comes first; the others wait for it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sercli.corpora.splits import Split
from sercli.corpora.table import Utterance
from sercli.errors import RecipeError
from sercli.evaluation.metrics import unweighted_accuracy
from sercli.labels import labels_of
from sercli.methods import build_methods
from sercli.methods.base import OF_STATES, TeacherShapes
from sercli.training.lessons import Lessons
from sercli.training.own_teacher import OwnTeacher
from sercli.training.recipe import Recipe, StagePart
from sercli.training.run_folder import CHECKPOINT, write_json
from sercli.training.stage import draw, train_stage
from sercli.training.start import Start, start_with
from sercli.training.teacher import Floats, Heard, describe, hear, probe_logits
from sercli.training.trainer import Teaching, Trained, train


def distil(
    recipe: Recipe,
    split: Split,
    folder: Path,
    speech: Sequence[Sequence[Utterance]] = (),
    *,
    beside: Sequence[Utterance] = (),
    start: Start | None = None,
    shared: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> Trained:
    """Train a student with a teacher.

    Args:
        recipe: with a teacher
        split: speaker-disjoint utterances in the recipe's label set
        folder: gets the run, with a folder `stage-NAME` for each stage before the main one
        speech: unlabelled utterances of each stage before the main one; speakers of the development and test sides are
            left out here
        beside: unlabelled utterances that the main training hears with its own; the same are left out
        start: the student to begin with; None begins at random
        shared: gets the stages that hear none of the run's own clips; a finished one there is taken as it is, even
            with `overwrite`; default: `folder`
        resume: go on with the stage and the epoch where an earlier run stopped
        overwrite: start anew
        quiet: no progress bars

    Raises:
        RecipeError: no teacher, two stages of one name, a method that does not fit, a stage without the run's own
            clips that hears one of its corpora all the same, or nothing
        BundleError, ModelNotFoundError, CorpusError, OutputError, LeakError: as the functions of teacher and trainer
    """
    if not recipe.teacher.named:
        raise RecipeError("teacher: name an encoder or a student to learn from")
    names = [stage.name for stage in recipe.before]
    if len(set(names)) < len(names) or not all(name.isidentifier() for name in names):
        raise RecipeError(f"before: give every stage a name of its own, of letters and digits, not {names}")
    fitted = [*split.train, *(split.dev if recipe.split.train_on_dev else [])]
    held_out = {(u.corpus, u.speaker) for u in [*split.test, *([] if recipe.split.train_on_dev else split.dev)]}
    heard_only = [[u for u in part if (u.corpus, u.speaker) not in held_out] for part in speech]
    labelled = {u.stretch for u in fitted}
    beside = [u for u in beside if (u.corpus, u.speaker) not in held_out and u.stretch not in labelled]
    options: dict[str, Any] = {"resume": resume, "overwrite": overwrite, "quiet": quiet}
    teacher: OwnTeacher | _Teacher
    every = [u for part in (*heard_only, beside) for u in part]
    if recipe.teacher.own:
        teacher = OwnTeacher(recipe, recipe.teacher.own, split, folder, every, start, **options)
    else:
        teacher = _Teacher(recipe, split, every, quiet)
    for stage, extra in zip(recipe.before, heard_only or [[] for _ in recipe.before], strict=True):
        own = fitted if stage.own else []
        place = (folder if stage.own else shared or folder) / f"stage-{stage.name}"
        if not stage.own:
            _check_foreign(stage, extra, split, recipe)
        material = Split([*own, *extra], [], [])
        train_stage(
            _recipe_of(stage, recipe), material, place, not stage.own, teach=teacher.teach, start=start, **options
        )
        heard = start.heard if start else frozenset()  # it still knows whom it knew before
        start = start_with(place / CHECKPOINT, labels_of(recipe.corpus.labels), heard)
    trained = train(recipe, split, folder, teach=teacher.teach, beside=beside, start=start, **options)
    teacher.report(folder)
    draw(folder, recipe.name)
    return trained


def _check_foreign(stage: StagePart, speech: Sequence[Utterance], split: Split, recipe: Recipe) -> None:
    """Refuse a shared stage that depends on the split.

    Raises:
        RecipeError: it hears nothing, or a corpus of the run, or asks for logits that are of one fold alone
    """
    fitted = recipe.teacher.own or recipe.teacher.encoders
    if fitted and any("logits" in method.needs for _, method in build_methods(stage.method)):
        raise RecipeError(f"before.{stage.name}: the teacher's logits are of one fold alone; leave out own: false")
    if not speech:
        raise RecipeError(f"before.{stage.name}: hears nothing; name corpora in speech, or leave out own: false")
    corpora = {u.corpus for u in [*split.train, *split.dev, *split.test]}
    if both := sorted(corpora & {u.corpus for u in speech}):
        raise RecipeError(
            f"before.{stage.name}.speech: {both[0]} is a corpus of the run; take it out, or leave out own: false"
        )


def _recipe_of(stage: StagePart, recipe: Recipe) -> Recipe:
    """The recipe of one stage: nobody selects in it, its last epoch is what goes on."""
    # A stage that folds share learns nothing from a teacher of one fold, so it does not name it either.
    teacher = recipe.teacher if stage.own else dataclasses.replace(recipe.teacher, own=None)
    outputs = recipe.outputs if stage.own else {}  # nobody rated what is only heard
    return dataclasses.replace(
        recipe,
        name=f"{recipe.name}-{stage.name}",
        split=dataclasses.replace(recipe.split, train_on_dev=True),
        teacher=teacher,
        before=(),
        speech=(),
        method=stage.method,
        outputs=outputs,
        optim=stage.optim,
    )


class _Teacher:
    """Everything the teacher says about a run's clips, computed once."""

    def __init__(self, recipe: Recipe, split: Split, speech: Sequence[Utterance], quiet: bool) -> None:
        self.recipe, self.split, self.speech = recipe, split, speech
        self.labels = labels_of(recipe.corpus.labels)
        # speech first: where a clip is among the labelled ones too, the entry that knows its label is kept
        every = list({u.stretch: u for u in [*speech, *split.train, *split.dev, *split.test]}.values())
        self.row = {utterance.stretch: row for row, utterance in enumerate(every)}
        parts = [recipe.method, *(stage.method for stage in recipe.before)]
        self.needs = frozenset().union(*(method.needs for part in parts for _, method in build_methods(part)))
        frames = "frames" in self.needs
        if self.needs & OF_STATES and not recipe.teacher.encoders:
            raise RecipeError("teacher.encoders: a method learns from an encoder's states; name one")
        self.heard: list[Heard] = [
            hear(part, recipe.teacher.pooling, every, frames and number == 0, quiet)
            for number, part in enumerate(recipe.teacher.encoders)
        ]
        fitted = [*split.train, *(split.dev if recipe.split.train_on_dev else [])]
        self.trains = np.zeros(len(every), dtype=bool)
        self.trains[[self.row[utterance.stretch] for utterance in fitted]] = True
        held_out = np.zeros(len(every), dtype=bool)
        held_out[[self.row[u.stretch] for u in [*split.dev, *split.test]]] = True
        self.logits: Floats = probe_logits(
            recipe.teacher, self.heard, every, self.trains, self.labels, recipe.seed, held_out & ~self.trains
        )
        self.ratings: Floats | None = None
        if "dimensions" in self.needs:
            from sercli.training.teacher_answers import student_ratings

            self.ratings = student_ratings(recipe.teacher.students, every, self.labels)

    def teach(self, utterances: list[Utterance]) -> Teaching:
        """Collect what was said about some utterances, in their order."""
        rows = np.array([self.row[utterance.stretch] for utterance in utterances])
        ratings = None if self.ratings is None else self.ratings[rows]
        if not self.heard:
            shapes = TeacherShapes(len(self.labels), 0, (), rates=ratings is not None)
            return Teaching(Lessons(self.logits[rows], dimensions=ratings), shapes, self.speech)
        first = self.heard[0]
        pooled = first.pooled[rows]
        exact = pooled.astype(np.float32)
        shapes = TeacherShapes(
            classes=len(self.labels),
            width=self._width(first),
            layers=first.layers,
            mean=torch.from_numpy(exact.mean(axis=0)),
            std=torch.from_numpy(exact.std(axis=0)),
            rates=ratings is not None,
        )
        frames: Callable[[int], Any] | None = None
        if "frames" in self.needs:
            frames = _Chosen(first, rows)
        lessons = Lessons(self.logits[rows], pooled if "pooled" in self.needs else None, frames, ratings)
        return Teaching(lessons, shapes, self.speech)

    def _width(self, first: Heard) -> int:
        if "frames" in self.needs and self.recipe.teacher.pooling != "mean":
            raise RecipeError("teacher.pooling: must be mean where a method learns from frames")
        return int(first.pooled.shape[2])

    def report(self, folder: Path) -> None:
        """Write beside the run who taught, and how right the teacher is itself."""
        sides = {"train, cross-fitted": self.split.train, "dev": self.split.dev, "test": self.split.test}
        found = {name: self._ua(side) for name, side in sides.items() if side}
        facts = {**describe(self.recipe.teacher, self.heard), "ua": found}
        write_json(folder / "teacher.json", facts)

    def _ua(self, utterances: Sequence[Utterance]) -> float:
        utterances = [utterance for utterance in utterances if utterance.emotion]
        answers = self.logits[[self.row[utterance.stretch] for utterance in utterances]].argmax(axis=1)
        targets = np.array([self.labels.index(utterance.emotion) for utterance in utterances])
        return round(100.0 * unweighted_accuracy(targets, answers, len(self.labels)), 2)


class _Chosen:
    """Frames of some of an encoder's clips, by their place among those; can be sent to a loader's process."""

    def __init__(self, heard: Heard, rows: Any) -> None:
        self.heard, self.rows = heard, rows

    def __call__(self, number: int) -> Any:
        return self.heard.frames(int(self.rows[number]))
