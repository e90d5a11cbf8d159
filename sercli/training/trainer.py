"""One training run: a split in, the best student of its development speakers out."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Sampler
from tqdm import tqdm
from transformers import (
    EarlyStoppingCallback,
    EvalPrediction,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from sercli.corpora.splits import Split, check_disjoint
from sercli.corpora.table import Utterance
from sercli.errors import CorpusError, OutputError, RecipeError
from sercli.evaluation.metrics import summary, unweighted_accuracy, weighted_accuracy
from sercli.labels import LABEL_SETS
from sercli.methods import build_methods, check_batch
from sercli.methods.base import Method, StudentShapes, TeacherShapes
from sercli.models import students
from sercli.models.cnn import CnnAttention
from sercli.training.calibrate import calibrate
from sercli.training.data import BalancedLengthSampler, Clips, class_weights, collate
from sercli.training.learner import Learner
from sercli.training.lessons import Lessons
from sercli.training.recipe import Recipe
from sercli.training.recipe_file import dump_recipe, is_recipe_of
from sercli.training.store import open_store


@dataclass(frozen=True)
class Trained:
    """What a run leaves behind."""

    student: CnnAttention
    folder: Path
    dev: dict[str, Any] | None
    """figures on the development speakers, where they did not train"""
    test: dict[str, Any] | None
    """figures on the test speakers, where the split has any"""


class _Steps(TrainerCallback):
    """Tell the learner where the run is, and update the running mean of its weights after every optimiser step."""

    def on_step_begin(self, args: Any, state: Any, control: Any, model: Any = None, **rest: Any) -> None:
        getattr(model, "module", model).epoch = state.epoch or 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **rest: Any) -> None:
        getattr(model, "module", model).update_average()


class _Progress(TrainerCallback):
    """A bar on stderr, only where it is a terminal, with the development UA so far."""

    def __init__(self, quiet: bool) -> None:
        self.disable = True if quiet else None
        self.bar: tqdm[Any] | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        self.bar = tqdm(total=state.max_steps, initial=state.global_step, desc="training", disable=self.disable)

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **rest: Any) -> None:
        if self.bar is not None and metrics:
            self.bar.set_postfix(epoch=round(state.epoch or 0), dev_ua=f"{100 * metrics['eval_ua']:.1f}")

    def on_train_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        if self.bar is not None:
            self.bar.close()


class _StudentTrainer(Trainer):
    """transformers' Trainer with our sampler, and every loss term in its log."""

    def __init__(self, *args: Any, sampler: Sampler[int] | None = None, **keywords: Any) -> None:
        self._sampler = sampler
        super().__init__(*args, **keywords)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int] | None:
        return self._sampler

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the means of the loss terms since the last entry."""
        if "loss" in logs:
            learner = cast(Learner, getattr(self.model, "module", self.model))
            logs = {**logs, **{f"loss_{name}": round(value, 5) for name, value in learner.take_terms().items()}}
        super().log(logs, start_time)


@dataclass(frozen=True)
class Teaching:
    """A teacher's part in a run."""

    lessons: Lessons
    """what it says about each training utterance, in their order"""
    shapes: TeacherShapes
    also_heard: Sequence[Utterance] = ()
    """unlabelled speech of earlier stages, whose speakers the student knows too"""


def train(
    recipe: Recipe,
    split: Split,
    folder: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    teach: Callable[[list[Utterance]], Teaching] | None = None,
    start: Path | None = None,
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
        start: weights to begin with; None begins at random

    Raises:
        RecipeError: a method that the batch is too small for, or that needs what the teacher does not give
        LeakError: a speaker stands on two sides
        CorpusError: no training or development utterances
        OutputError: the folder holds a run already
    """
    check_disjoint(split)
    if not split.train or not (split.dev or recipe.split.train_on_dev):
        side = "training" if not split.train else "development"
        raise CorpusError(f"no {side} utterances left of {recipe.corpus.labels} labels; check corpus and split")
    if recipe.split.train_on_dev:
        split = Split(train=[*split.train, *split.dev], dev=[], test=split.test)
    labels = LABEL_SETS[recipe.corpus.labels]
    last = _prepare(folder, recipe, resume, overwrite)
    teaching = teach(split.train) if teach else None
    set_seed(recipe.seed)
    arguments = students.arguments_from(recipe.student.arguments, recipe.student.size)
    student = students.build(arguments, len(labels))
    if start is not None:
        students.load_weights(student, start)
    methods = _methods(recipe, student, teaching, len(split.train))
    learner = Learner(student, methods, recipe.augment, recipe.optim.average, recipe.optim.bf16)
    trainer = _trainer(recipe, split, folder, learner, quiet, teaching.lessons if teaching else None)
    trainer.train(resume_from_checkpoint=last)
    student = learner.best.eval().requires_grad_(False)

    dev, temperature, threshold = None, None, None
    if split.dev:
        logits = _logits(trainer, split.dev, labels)
        dev = _figures(logits, split.dev, labels)
        temperature, threshold = calibrate(logits, np.array(dev["targets"]), _corpus_weights(split.dev))
    test = _figures(_logits(trainer, split.test, labels), split.test, labels) if split.test else None
    students.save_weights(student, folder / "model.safetensors")
    checkpoint = {
        "name": recipe.name,
        "architecture": students.ARCHITECTURE,
        "arguments": students.arguments_dict(arguments),
        "labels": list(labels),
        "parameters": students.parameter_count(student),
        "temperature": temperature,
        "abstain_threshold": threshold,
    }
    metrics = {
        "dev": dev,
        "test": test,
        "best_epoch": _best_epoch(trainer),
        "material": _material(split, teaching.also_heard if teaching else ()),
        "history": _history(trainer),
    }
    write_json(folder / "metrics.json", metrics)
    write_json(folder / "checkpoint.json", checkpoint)  # last: its presence says that the run is complete
    return Trained(student.cpu(), folder, dev, test)


def _methods(recipe: Recipe, student: CnnAttention, teaching: Teaching | None, clips: int) -> list[tuple[str, Method]]:
    """Build a recipe's methods and fit them to student and teacher."""
    methods = build_methods(recipe.method)
    check_batch(methods, min(recipe.optim.batch, clips))
    shapes = StudentShapes(student.classifier.out_features, student.arguments.embedding, student.stages)
    for name, method in methods:
        if "frames" in method.needs and recipe.augment.mixup_alpha > 0:
            raise RecipeError(f"method.{name}: frames of two clips cannot be blended; set augment.mixup_alpha to 0")
        method.connect(shapes, teaching.shapes if teaching else None)
    return methods


def _prepare(folder: Path, recipe: Recipe, resume: bool, overwrite: bool) -> str | None:
    """Make the folder, refuse to mix runs, and find the checkpoint to go on from."""
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


def _clear(folder: Path) -> None:
    """Take away what an earlier run left, or it would be resumed and exported as if it were this run's."""
    for name in ("checkpoint.json", "metrics.json", "model.safetensors"):
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


def _trainer(
    recipe: Recipe, split: Split, folder: Path, learner: Learner, quiet: bool, lessons: Lessons | None
) -> Trainer:
    labels, optim = LABEL_SETS[recipe.corpus.labels], recipe.optim
    store = open_store(split.train)
    weights = class_weights(split.train, 0.0 if optim.balance == "none" else optim.balance_power)
    even = np.ones(len(split.train))
    by_loss = optim.balance == "loss"
    clips = Clips(split.train, store, labels, recipe.augment, weights if by_loss else even, lessons)
    sampler = BalancedLengthSampler(even if by_loss else weights, store.lengths, optim.batch, recipe.seed)
    steps = -(-len(sampler) // optim.batch) * optim.epochs
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=optim.batch,
        per_device_eval_batch_size=optim.batch,
        num_train_epochs=optim.epochs,
        learning_rate=optim.lr,
        weight_decay=optim.weight_decay,
        warmup_steps=round(optim.warmup * steps),
        lr_scheduler_type=optim.schedule,
        max_grad_norm=optim.clip,
        eval_strategy="epoch" if split.dev else "no",
        save_strategy="epoch",
        save_total_limit=2,
        logging_strategy="epoch",
        load_best_model_at_end=bool(split.dev),
        metric_for_best_model="ua",
        greater_is_better=True,
        dataloader_num_workers=optim.workers,
        dataloader_persistent_workers=optim.workers > 0,
        dataloader_pin_memory=torch.cuda.is_available(),
        train_sampling_strategy="random",
        remove_unused_columns=False,
        label_names=["labels"],
        restore_callback_states_from_checkpoint=True,  # or a resumed run would count its patience anew
        report_to="none",
        seed=recipe.seed,
        disable_tqdm=True,
        log_level="error",
    )

    def figures(prediction: EvalPrediction) -> dict[str, float]:
        guesses = np.argmax(prediction.predictions, axis=1)
        targets = np.asarray(prediction.label_ids)
        return {
            "ua": unweighted_accuracy(targets, guesses, len(labels)),
            "wa": weighted_accuracy(targets, guesses),
        }

    callbacks: list[TrainerCallback] = [_Steps(), _Progress(quiet)]
    if split.dev and optim.patience > 0:
        callbacks.append(EarlyStoppingCallback(optim.patience))
    trainer = _StudentTrainer(
        model=learner,
        args=arguments,
        train_dataset=clips,
        eval_dataset=Clips(split.dev, open_store(split.dev), labels) if split.dev else None,
        data_collator=collate,
        compute_metrics=figures,
        callbacks=callbacks,
        sampler=sampler,
    )
    trainer.remove_callback(PrinterCallback)  # it prints to stdout, which is for results
    return trainer


def _logits(trainer: Trainer, utterances: list[Utterance], labels: tuple[str, ...]) -> npt.NDArray[np.float32]:
    predictions = trainer.predict(Clips(utterances, open_store(utterances), labels)).predictions
    return np.asarray(predictions, dtype=np.float32)


def _figures(logits: npt.NDArray[np.float32], utterances: list[Utterance], labels: tuple[str, ...]) -> dict[str, Any]:
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


def _history(trainer: Trainer) -> list[dict[str, float]]:
    """One entry per epoch: loss and its terms, and where there are development speakers their figures."""
    epochs: dict[float, dict[str, float]] = {}
    for entry in trainer.state.log_history:
        if "loss" in entry or "eval_ua" in entry:
            epochs.setdefault(entry["epoch"], {}).update(entry)
    return list(epochs.values())


def _best_epoch(trainer: Trainer) -> float | None:
    history = [entry for entry in trainer.state.log_history if "eval_ua" in entry]
    return max(history, key=lambda entry: entry["eval_ua"])["epoch"] if history else None


def _material(split: Split, also_heard: Sequence[Utterance] = ()) -> dict[str, Any]:
    """Who was heard in training and selection, per corpus: what a later evaluation must not call unseen."""
    sides: dict[str, Any] = {}
    heard = {"train": [*split.train, *also_heard], "dev": split.dev, "test": split.test}
    for side, utterances in heard.items():
        clips: dict[str, set[tuple[str, float]]] = {}
        speakers: dict[str, set[str]] = {}
        for utterance in utterances:
            clips.setdefault(utterance.corpus, set()).add((utterance.path, utterance.start))
            speakers.setdefault(utterance.corpus, set()).add(utterance.speaker)
        sides[side] = {
            corpus: {"utterances": len(found), "speakers": sorted(speakers[corpus])}
            for corpus, found in sorted(clips.items())
        }
    return sides


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a file of a run whole or not at all."""
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(values, indent=1), encoding="utf-8")
    partial.rename(path)
