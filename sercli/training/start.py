"""Weights to begin with: those of a student that has learned something already."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sercli.corpora.splits import Speaker
from sercli.corpora.table import Utterance
from sercli.errors import LeakError, RecipeError
from sercli.evaluation.model import CHECKPOINT, Heard, open_model
from sercli.models import students, teacher
from sercli.models.student import StudentArguments
from sercli.runtime.bundle import CONFIG_FILE
from sercli.training.run_folder import WEIGHTS


@dataclass(frozen=True)
class Start:
    """Where a student begins."""

    weights: Path
    architecture: str
    arguments: StudentArguments
    other_labels: bool = False
    """its classes were others, so the classifier begins at random"""
    heard: frozenset[Speaker] = frozenset()
    """speakers it knows already"""

    def new_parts(self, arguments: StudentArguments) -> list[str]:
        """Parts of the student with these arguments that begin at random."""
        new_rater = arguments.dimensions != self.arguments.dimensions
        return ["classifier"] * self.other_labels + ["rater"] * new_rater


def starting_student(name: str, labels: Sequence[str], held_out: Iterable[Utterance]) -> Start:
    """Find the student that a run begins with.

    Args:
        name: a student of the zoo, `hf:owner/repo@revision`, or a bundle or run folder
        labels: of the run
        held_out: utterances of development and test speakers

    Raises:
        LeakError: it has heard one of those speakers, or does not say whom it has heard
        RecipeError: a teacher
        ModelNotFoundError, BundleError: there is none, or it is incomplete
    """
    model = open_model(name)
    heard = unheard("student.start", name, model.heard, held_out)
    if model.student.config.architecture == teacher.ARCHITECTURE:
        raise RecipeError(f"student.start: {name} is a teacher; name it in teacher.students, or start with a student")
    config = model.folder / (CONFIG_FILE if model.kind == "bundle" else CHECKPOINT)
    return start_with(config, labels, heard.train | heard.dev)


def unheard(key: str, name: str, heard: Heard | None, held_out: Iterable[Utterance]) -> Heard:
    """Refuse a model that knows somebody whom a run holds out, or hides whom it knows.

    Args:
        key: of the recipe, which names the model
        name: of the model
        heard: whom it knows
        held_out: utterances of those it must not

    Raises:
        LeakError: it does
    """
    if heard is None:
        raise LeakError(f"{key}: {name} does not say whom it was trained on; take one that does")
    if known := next((utterance for utterance in held_out if utterance in heard), None):
        speaker = f"{known.corpus}/{known.speaker}"
        raise LeakError(f"{key}: {name} has heard {speaker}, whom this run holds out; take another")
    return heard


def start_with(config: Path, labels: Sequence[str], heard: frozenset[Speaker] = frozenset()) -> Start:
    """Begin with the student that a bundle's config.json or a run's checkpoint.json describes, weights beside it.

    Args:
        config: that file
        labels: of the run that begins
        heard: speakers the student knows
    """
    facts = json.loads(config.read_text(encoding="utf-8"))
    arguments = students.arguments_from(facts["arguments"], architecture=facts["architecture"])
    other_labels = facts["labels"] != list(labels)
    return Start(config.with_name(WEIGHTS), facts["architecture"], arguments, other_labels, heard)
