"""The one training loop, of students and teachers alike: transformers' Trainer, our sampler, a mean of the weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Sampler
from tqdm import tqdm
from transformers import (
    EarlyStoppingCallback,
    EvalPrediction,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from sercli.corpora.table import Utterance
from sercli.evaluation.metrics import unweighted_accuracy, weighted_accuracy
from sercli.training import processes
from sercli.training.data import UNLABELLED, BalancedLengthSampler, class_weights
from sercli.training.recipe_student import OptimPart
from sercli.training.trainee import Trainee

Items = Dataset[dict[str, Any]]


@dataclass(frozen=True)
class Feed:
    """What a loop draws its batches from."""

    train: Items
    lengths: npt.NDArray[np.int64]
    """of the training clips, in any unit: batches are made of clips alike in length; shape (clips,)"""
    drawn: npt.NDArray[np.float64]
    """how often each training clip is drawn, relative to the others, shape (clips,)"""
    collate: Callable[[Sequence[dict[str, Any]]], dict[str, Tensor]]
    """items to a batch"""
    dev: Items | None = None
    """what the epoch is chosen by; None keeps the last"""


def balanced(
    utterances: Sequence[Utterance], optim: OptimPart
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Balance classes as the recipe says: how often each clip is drawn, and its weight in the loss, each (clips,)."""
    weights = class_weights(utterances, 0.0 if optim.balance == "none" else optim.balance_power)
    even = np.ones(len(utterances))
    return (even, weights) if optim.balance == "loss" else (weights, even)


def make_trainer(
    trainee: Trainee[Any],
    feed: Feed,
    optim: OptimPart,
    folder: Path,
    *,
    seed: int,
    quiet: bool = False,
    slow: tuple[Sequence[nn.Parameter], float] = ((), 0.0),
) -> _Trainer:
    """Set up the loop.

    Args:
        trainee: what is trained
        feed: with what
        optim: the schedule
        folder: where checkpoints go
        seed: of the order of the clips
        quiet: no progress bar
        slow: parameters with a peak learning rate of their own, and that
    """
    sampler = BalancedLengthSampler(feed.drawn, feed.lengths, optim.batch, seed)
    steps = -(-len(sampler) // optim.batch) * optim.epochs
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=processes.share(optim.batch),
        per_device_eval_batch_size=processes.share(optim.batch),
        use_cpu=processes.on_cpus(),
        num_train_epochs=optim.epochs,
        learning_rate=optim.lr,
        weight_decay=optim.weight_decay,
        warmup_steps=round(optim.warmup * steps),
        lr_scheduler_type=optim.schedule,
        max_grad_norm=optim.clip,
        eval_strategy="epoch" if feed.dev else "no",
        save_strategy="epoch",
        save_total_limit=2,
        logging_strategy="epoch",
        load_best_model_at_end=bool(feed.dev),
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
        seed=seed,
        disable_tqdm=True,
        log_level="error",
    )
    callbacks: list[TrainerCallback] = [_Steps(), _Progress(quiet)]
    if feed.dev and optim.patience > 0:
        callbacks.append(EarlyStoppingCallback(optim.patience))
    trainer = _Trainer(
        model=trainee,
        args=arguments,
        train_dataset=feed.train,
        eval_dataset=feed.dev,
        data_collator=feed.collate,
        compute_metrics=_figures,
        callbacks=callbacks,
        sampler=sampler,
        slow=slow,
    )
    trainer.remove_callback(PrinterCallback)  # it prints to stdout, which is for results
    return trainer


def answers(trainer: Trainer, items: Items) -> dict[str, npt.NDArray[np.float32]]:
    """What the trained network says: `logits` (clips, classes) and any further outputs, in the order of the items."""
    found = trainer.predict(items).predictions
    parts = found if isinstance(found, tuple) else (found,)
    names = cast(Trainee[Any], trainer.model).outputs
    return {name: np.asarray(part, dtype=np.float32) for name, part in zip(names, parts, strict=True)}


def history(trainer: Trainer) -> list[dict[str, float]]:
    """One entry per epoch: loss and its terms, and where there are development speakers their figures."""
    epochs: dict[float, dict[str, float]] = {}
    for entry in trainer.state.log_history:
        if "loss" in entry or "eval_ua" in entry:
            epochs.setdefault(entry["epoch"], {}).update(entry)
    return list(epochs.values())


def best_epoch(trainer: Trainer) -> float | None:
    """The epoch whose weights are kept; None where nobody selects."""
    entries = [entry for entry in trainer.state.log_history if "eval_ua" in entry]
    return max(entries, key=lambda entry: entry["eval_ua"])["epoch"] if entries else None


class _Steps(TrainerCallback):
    """Tell the trainee where the run is, and update the running mean of its weights after every optimiser step."""

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


class _Trainer(Trainer):
    """transformers' Trainer with our sampler, two learning rates, and every loss term in its log."""

    def __init__(
        self, *args: Any, sampler: Sampler[Any], slow: tuple[Sequence[nn.Parameter], float], **keywords: Any
    ) -> None:
        self._sampler = sampler
        self._slow = slow
        super().__init__(*args, **keywords)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[Any] | None:
        return self._sampler

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Give the slow parameters groups of their own."""
        if self.optimizer is not None:
            return self.optimizer
        optimizer: torch.optim.Optimizer = super().create_optimizer(model)
        parameters, lr = self._slow
        slow = {id(parameter) for parameter in parameters}
        for group in list(optimizer.param_groups):
            if members := [parameter for parameter in group["params"] if id(parameter) in slow]:
                group["params"] = [parameter for parameter in group["params"] if id(parameter) not in slow]
                optimizer.add_param_group({**group, "params": members, "lr": lr})
        return optimizer

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the means of the loss terms since the last entry."""
        if "loss" in logs:
            trainee = cast(Trainee[Any], getattr(self.model, "module", self.model))
            terms = processes.mean(trainee.take_terms())
            logs = {**logs, **{f"loss_{name}": round(value, 5) for name, value in terms.items()}}
        super().log(logs, start_time)


def _figures(prediction: EvalPrediction) -> dict[str, float]:
    found = prediction.predictions
    logits = found[0] if isinstance(found, tuple) else found
    targets = np.asarray(prediction.label_ids)
    labelled = targets != UNLABELLED
    guesses, targets = np.argmax(logits, axis=1)[labelled], targets[labelled]
    return {
        "ua": unweighted_accuracy(targets, guesses, logits.shape[1]),
        "wa": weighted_accuracy(targets, guesses),
    }
