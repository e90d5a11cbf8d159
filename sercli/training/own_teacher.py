"""A teacher of a run's own: a network of the student's kind, trained first on the same speakers, with labels alone.

    folder/teacher   its run, with its figures on the test speakers; or teacher.own.folder, where several runs share it
    folder           the student's, whose teacher hears every batch as the student does (see Learner)

It never hears a development speaker, not even to choose its epoch, unless the student trains on those too.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sercli.corpora.splits import Split
from sercli.corpora.table import Utterance
from sercli.errors import RecipeError
from sercli.evaluation.model import open_model
from sercli.labels import labels_of
from sercli.methods.base import TeacherShapes
from sercli.models import students
from sercli.models.student import LogMelArguments, StudentArguments
from sercli.training.recipe import Recipe
from sercli.training.recipe_teacher import OwnPart, TeacherPart
from sercli.training.run_folder import WEIGHTS, write_json
from sercli.training.stage import train_stage
from sercli.training.start import Start, unheard
from sercli.training.trainer import Teaching, fitted_methods, student_arguments

NAME = "teacher"
FRONT_END = ("mels", "window_ms", "hop_ms", "per_band")
"""Sizes that teacher and student must share, because they are given the same frames."""


class OwnTeacher:
    """Trains the teacher, or finds it trained, and hands it to the student.

    Args:
        recipe: of the run
        part: its teacher.own
        split: of the run
        folder: of the run
        speech: unlabelled utterances of the stages before the main one, which the student knows too
        start: of the student
        options: of `train`

    Raises:
        RecipeError: teacher and student do not fit; before anything is trained
        LeakError: a finished teacher that has heard somebody whom this run holds out
    """

    def __init__(
        self,
        recipe: Recipe,
        part: OwnPart,
        split: Split,
        folder: Path,
        speech: Sequence[Utterance],
        start: Start | None,
        **options: Any,
    ) -> None:
        self.speech = speech
        classes = len(labels_of(recipe.corpus.labels))
        fitted = [*split.train, *(split.dev if recipe.split.train_on_dev else [])]
        arguments = student_arguments(recipe, part=part.student)
        taught = student_arguments(recipe, start)
        _check_front_ends(arguments, taught)
        self.network = students.build(arguments, classes)
        self.shapes = TeacherShapes(classes, 0, (), exits=self.network.exits)
        fitted_methods(recipe, students.build(taught, classes), self.shapes, len(fitted))
        self.place = Path(part.folder) if part.folder else folder / NAME
        if part.folder and split.leaks:  # a teacher knows its speakers, not its utterances: nobody could tell
            raise RecipeError("teacher.own.folder: cannot be shared where speakers stand on both sides; leave it out")
        sides = dataclasses.replace(split, train=fitted, dev=[])
        train_stage(_recipe_of(part, recipe), sides, self.place, bool(part.folder), **options)
        if not split.leaks:
            held_out = split.test if recipe.split.train_on_dev else [*split.dev, *split.test]
            unheard("teacher.own.folder", str(self.place), open_model(self.place).heard, held_out)
        students.load_weights(self.network, self.place / WEIGHTS)

    def teach(self, utterances: list[Utterance]) -> Teaching:
        """Hand over the network; what it says of the utterances it says when they are heard."""
        return Teaching(None, self.shapes, self.speech, self.network)

    def report(self, folder: Path) -> None:
        """Write beside the run who taught, and how right the teacher is itself."""
        test = json.loads((self.place / "metrics.json").read_text(encoding="utf-8"))["test"]
        own = {"folder": str(self.place), "parameters": students.parameter_count(self.network)}
        write_json(folder / "teacher.json", {"own": own, "ua": {"test": test["ua"]} if test else {}})


def _check_front_ends(teacher: StudentArguments, student: StudentArguments) -> None:
    for key, arguments in (("teacher.own.student", teacher), ("student", student)):
        if not isinstance(arguments, LogMelArguments):
            raise RecipeError(f"{key}.architecture: must hear log-mel frames, as all do but distil")
    for name in FRONT_END:
        theirs, ours = getattr(teacher, name), getattr(student, name)
        if theirs != ours:
            raise RecipeError(
                f"teacher.own.student.arguments.{name}: is {theirs} and the student's {ours}; they hear the same frames"
            )


def _recipe_of(part: OwnPart, recipe: Recipe) -> Recipe:
    """The recipe of the teacher: nobody selects in it, its last epoch is what teaches."""
    fixed = dataclasses.replace(recipe.split, train_on_dev=True)
    return dataclasses.replace(
        recipe,
        name=NAME,  # not the student's: several students may learn from it
        split=fixed,
        teacher=TeacherPart(),
        student=part.student,
        before=(),
        speech=(),
        method=part.method,
        optim=part.optim,
    )
