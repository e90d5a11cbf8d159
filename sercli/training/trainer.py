"""One training run: a split in, the best student of its development speakers out."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from sercli.errors import CorpusError, OutputError
from sercli.evaluation.metrics import summary, unweighted_accuracy, weighted_accuracy
from sercli.labels import LABEL_SETS
from sercli.methods import build_methods
from sercli.models import students
from sercli.models.cnn import CnnAttention
from sercli.training.calibrate import calibrate
from sercli.training.data import BalancedLengthSampler, Clips, class_weights, collate
from sercli.training.learner import Learner
from sercli.training.recipe import Recipe, dump_recipe
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


class _AverageWeights(TrainerCallback):
    """Update the running mean of the weights after every optimiser step."""

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
    """transformers' Trainer with our sampler."""

    def __init__(self, *args: Any, sampler: Sampler[int] | None = None, **keywords: Any) -> None:
        self._sampler = sampler
        super().__init__(*args, **keywords)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int] | None:
        return self._sampler


def train(
    recipe: Recipe, split: Split, folder: Path, *, resume: bool = False, overwrite: bool = False, quiet: bool = False
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

    Raises:
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
    last = _prepare(folder, dump_recipe(recipe), resume, overwrite)
    set_seed(recipe.seed)
    arguments = students.arguments_from(recipe.student.arguments, recipe.student.size)
    learner = Learner(
        students.build(arguments, len(labels)),
        build_methods(recipe.method),
        recipe.augment,
        recipe.optim.average,
        recipe.optim.bf16,
    )
    trainer = _trainer(recipe, split, folder, learner, quiet)
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
        "material": _material(split),
        "history": [entry for entry in trainer.state.log_history if "eval_ua" in entry],
    }
    _write_json(folder / "metrics.json", metrics)
    _write_json(folder / "checkpoint.json", checkpoint)  # last: its presence says that the run is complete
    return Trained(student.cpu(), folder, dev, test)


def _prepare(folder: Path, resolved: str, resume: bool, overwrite: bool) -> str | None:
    """Make the folder, refuse to mix runs, and find the checkpoint to go on from."""
    recipe_file = folder / "recipe.yaml"
    if recipe_file.exists():
        if not (resume or overwrite):
            raise OutputError(f"{folder}: holds a run already; add --resume to go on or --overwrite to start anew")
        if resume and recipe_file.read_text(encoding="utf-8") != resolved:
            raise OutputError(f"{recipe_file}: differs from the recipe asked for; use another --output")
    try:
        if not resume:
            _clear(folder)
        folder.mkdir(parents=True, exist_ok=True)
        recipe_file.write_text(resolved, encoding="utf-8")
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


def _trainer(recipe: Recipe, split: Split, folder: Path, learner: Learner, quiet: bool) -> Trainer:
    labels, optim = LABEL_SETS[recipe.corpus.labels], recipe.optim
    store = open_store(split.train)
    weights = class_weights(split.train, 0.0 if optim.balance == "none" else optim.balance_power)
    even = np.ones(len(split.train))
    by_loss = optim.balance == "loss"
    clips = Clips(split.train, store, labels, recipe.augment, weights if by_loss else even)
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

    callbacks: list[TrainerCallback] = [_AverageWeights(), _Progress(quiet)]
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


def _best_epoch(trainer: Trainer) -> float | None:
    history = [entry for entry in trainer.state.log_history if "eval_ua" in entry]
    return max(history, key=lambda entry: entry["eval_ua"])["epoch"] if history else None


def _material(split: Split) -> dict[str, Any]:
    """Who was heard in training and selection, per corpus: what a later evaluation must not call unseen."""
    sides: dict[str, Any] = {}
    for side in ("train", "dev", "test"):
        utterances: list[Utterance] = getattr(split, side)
        counts = Counter(utterance.corpus for utterance in utterances)
        sides[side] = {
            corpus: {
                "utterances": count,
                "speakers": sorted({utterance.speaker for utterance in utterances if utterance.corpus == corpus}),
            }
            for corpus, count in sorted(counts.items())
        }
    return sides


def _write_json(path: Path, values: dict[str, Any]) -> None:
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(values, indent=1), encoding="utf-8")
    partial.rename(path)
