"""One student's training run: a split in, the best student of its development speakers out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from transformers import Trainer, set_seed

from sercli.corpora.splits import Split, check_disjoint
from sercli.corpora.table import Utterance
from sercli.errors import CorpusError, RecipeError
from sercli.evaluation.metrics import unweighted_accuracy
from sercli.labels import labels_of
from sercli.methods import build_methods, check_batch
from sercli.methods.audio_text import MODES, AudioText
from sercli.methods.base import Method, StudentShapes, TeacherShapes
from sercli.models import students
from sercli.models.fusion import FusedStudent
from sercli.models.student import StudentArguments, StudentNetwork
from sercli.models.text_encoder import load_tokenizer
from sercli.training import processes
from sercli.training.data import UNLABELLED, Clips, collate
from sercli.training.fused import fused_arguments, parts_of, reader_of, source_of
from sercli.training.global_norm import with_global_norms
from sercli.training.learner import Learner
from sercli.training.lessons import Lessons
from sercli.training.loop import Feed, Items, answers, balanced, make_trainer
from sercli.training.neighbour_embeddings import run_graph, wants_graph
from sercli.training.neighbours import statistics
from sercli.training.noise import training_noise
from sercli.training.outcome import conclude
from sercli.training.outputs import check_known, check_outputs, output_figures
from sercli.training.recipe import Recipe
from sercli.training.recipe_student import StudentPart
from sercli.training.run_folder import WEIGHTS, prepare
from sercli.training.start import Start
from sercli.training.store import open_store
from sercli.training.transcripts import transcripts_of

RATED = ("dimensions",)
"""Outputs that a student may have besides its classes."""


@dataclass(frozen=True)
class Trained:
    """What a run leaves behind."""

    folder: Path
    dev: dict[str, Any] | None
    """figures on the development speakers, where they did not train"""
    test: dict[str, Any] | None
    """figures on the test speakers, where the split has any"""


@dataclass(frozen=True)
class Teaching:
    """A teacher's part in a run."""

    lessons: Lessons | None
    """what it says about each training utterance, in their order; None for a network, which hears for itself"""
    shapes: TeacherShapes
    also_heard: Sequence[Utterance] = ()
    """unlabelled speech of earlier stages, whose speakers the student knows too"""
    network: StudentNetwork | None = None
    """a teacher that hears what the student hears"""


def train(
    recipe: Recipe,
    split: Split,
    folder: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    teach: Callable[[list[Utterance]], Teaching] | None = None,
    beside: Sequence[Utterance] = (),
    start: Start | None = None,
) -> Trained:
    """Train a student on a split and keep its best epoch.

    The epoch is chosen by UA on the development speakers, or is the last one where the recipe trains on them too
    (`split.train_on_dev`); test speakers are looked at once, at the end.

    Args:
        recipe: what to do
        split: speaker-disjoint utterances, already in the recipe's label set
        folder: where weights, checkpoints, resolved recipe and metrics go
        resume: go on from the last checkpoint in the folder
        overwrite: start anew in a folder that holds a run
        quiet: no progress bar
        teach: given the training utterances, the teacher's part; None without a teacher
        beside: utterances without labels that are trained on as well, of which `teach` must say that they are heard
        start: the student to begin with, which sets architecture and sizes; None begins at random

    Raises:
        RecipeError: a method or output that the batch is too small for, a method that needs what the teacher does not
            give, or a graph that nobody says how to build
        LeakError: a speaker stands on two sides
        CorpusError: no training or development utterances, or no ratings to learn
        OutputError: the folder holds a run already
    """
    split = training_sides(recipe, split)
    labels = labels_of(recipe.corpus.labels)
    architecture = start.architecture if start else recipe.student.architecture
    arguments = student_arguments(recipe, start)
    check_outputs(recipe.outputs, recipe.optim.batch, RATED)
    check_known(split.train, list(recipe.outputs))
    with_graph = wants_graph(recipe)
    with processes.first_first():  # the others find what it has prepared
        prepared = prepare(folder, recipe, resume or not processes.is_first(), overwrite and processes.is_first())
        last = prepared if resume else None
    material = [*split.train, *beside]
    teaching = teach(material) if teach else None
    graph = run_graph(recipe.graph, material, folder, quiet) if with_graph else None
    set_seed(recipe.seed)
    student = students.build(arguments, len(labels))
    if processes.count() > 1:
        with_global_norms(student)
    if start is not None:
        begins = student.audio if isinstance(student, FusedStudent) else student
        students.load_weights(begins, start.weights, start.new_parts(begins.arguments))
    methods = fitted_methods(recipe, student, teaching.shapes if teaching else None, len(material))
    network = teaching.network if teaching else None
    optim = recipe.optim
    rating = recipe.outputs.get("dimensions", 0.0)
    frozen = recipe.student.frozen
    reader = reader_of(methods)
    learner = Learner(student, methods, recipe.augment, optim.average, optim.bf16, network, frozen, rating, reader)
    tokens = _tokens(reader, quiet)

    def items(utterances: list[Utterance]) -> Items:
        outputs = list(recipe.outputs)
        return Clips(utterances, open_store(utterances), labels, outputs=outputs, tokens=tokens(utterances))

    store = open_store(material)
    drawn, weights = balanced(material, optim)
    noise = training_noise(recipe.augment.noise, material, store)
    lessons = teaching.lessons if teaching else None
    outputs, told = list(recipe.outputs), tokens(material)
    clips = Clips(material, store, labels, recipe.augment, weights, lessons, noise, graph, outputs, told)
    feed = Feed(clips, store.lengths, drawn, collate, items(split.dev) if split.dev else None)
    trainer = make_trainer(learner, feed, optim, folder, seed=recipe.seed, quiet=quiet)
    processes.own_randomness(recipe.seed)
    trainer.train(resume_from_checkpoint=last)
    student = learner.best.eval().requires_grad_(False)
    if processes.is_first():
        students.save_weights(student, folder / WEIGHTS)
    if reader:
        architecture = AudioText.name
    facts = {
        "architecture": architecture,
        "arguments": students.arguments_dict(student.arguments),
        "parameters": students.parameter_count(student),
    }
    also_heard = teaching.also_heard if teaching else ()
    known = start.heard if start else ()
    report: dict[str, Any] = {"graph": statistics(graph)} if graph else {}
    if isinstance(student, FusedStudent):
        report |= {"parts": parts_of(student), "modes": _modes(trainer, learner, split, labels, items)}
    further = output_figures if recipe.outputs else None
    figures = conclude(
        recipe, split, folder, trainer, items, facts, further=further, also_heard=also_heard, known=known, report=report
    )
    processes.wait()  # for the files of the first
    return Trained(folder, *figures)


def training_sides(recipe: Recipe, split: Split) -> Split:
    """Check a split, and put its development speakers among the training ones where the recipe says so.

    Raises:
        LeakError: a speaker stands on two sides
        CorpusError: no training or development utterances
    """
    check_disjoint(split)
    if not split.train or not (split.dev or recipe.split.train_on_dev):
        side = "training" if not split.train else "development"
        raise CorpusError(f"no {side} utterances left of {recipe.corpus.labels} labels; check corpus and split")
    if recipe.split.train_on_dev:
        return dataclasses.replace(split, train=[*split.train, *split.dev], dev=[])
    return split


def student_arguments(recipe: Recipe, start: Start | None = None, part: StudentPart | None = None) -> StudentArguments:
    """Sizes of a recipe's student, or of another part of it, or of the one it begins with; it rates if asked for."""
    part = part or recipe.student
    sizes = start.arguments if start else students.arguments_from(part.arguments, part.size, part.architecture)
    sizes = dataclasses.replace(sizes, dimensions="dimensions" in recipe.outputs)
    if AudioText.name not in recipe.method or part is not recipe.student:
        return sizes
    architecture = start.architecture if start else part.architecture
    return fused_arguments(recipe.method, architecture, sizes)


def fitted_methods(
    recipe: Recipe, student: StudentNetwork, teacher: TeacherShapes | None, clips: int
) -> list[tuple[str, Method]]:
    """Build a recipe's methods and fit them to student and teacher.

    Raises:
        RecipeError: they do not fit
    """
    methods = build_methods(recipe.method)
    check_batch(methods, min(recipe.optim.batch, clips))
    rates = student.arguments.dimensions
    shapes = StudentShapes(student.classes, student.arguments.embedding, student.stages, student.exits, rates=rates)
    for name, method in methods:
        if "frames" in method.needs and recipe.augment.mixup_alpha > 0:
            raise RecipeError(f"method.{name}: frames of two clips cannot be blended; set augment.mixup_alpha to 0")
        if isinstance(method, AudioText) and recipe.augment.mixup_alpha > 0:
            raise RecipeError(f"method.{name}: two transcripts cannot be blended; set augment.mixup_alpha to 0")
        method.connect(shapes, teacher)
    return methods


def _tokens(reader: AudioText | None, quiet: bool) -> Callable[[Sequence[Utterance]], list[list[int]] | None]:
    """Return what turns utterances into tokens of their transcripts; of who does not read, into nothing."""
    if reader is None:
        return lambda _: None
    tokenizer = load_tokenizer(source_of(reader))
    return lambda utterances: [tokenizer(text) for text in transcripts_of(utterances, reader, quiet)]


def _modes(
    trainer: Trainer, learner: Learner, split: Split, names: Sequence[str], items: Callable[[list[Utterance]], Items]
) -> dict[str, dict[str, Any]]:
    """UA in percent, and agreement, of a student that reads by sound alone, by text alone and by both, on each side."""
    found: dict[str, dict[str, Any]] = {}
    own = learner.mode
    for side, utterances in (("dev", split.dev), ("test", split.test)):
        for mode in MODES if utterances else ():
            learner.mode = mode
            said = answers(trainer, items(utterances))
            named = np.array([bool(utterance.emotion) for utterance in utterances])
            labels = np.array(
                [names.index(utterance.emotion) if utterance.emotion else UNLABELLED for utterance in utterances]
            )
            ua = unweighted_accuracy(labels[named], said["logits"].argmax(axis=1)[named], said["logits"].shape[1])
            found.setdefault(side, {})[mode] = {"ua": round(100.0 * ua, 2), **output_figures(said, utterances)}
    learner.mode = own
    return found
