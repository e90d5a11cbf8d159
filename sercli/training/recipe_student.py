"""The parts of a recipe that say which network is trained and by what schedule, a student's or its teacher's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sercli.fields import demand

BALANCES = ("sampler", "loss", "none")


@dataclass(frozen=True)
class StudentPart:
    """The network."""

    architecture: str = "cnn-attention"
    """cnn-attention, tdnn, conformer, crnn, cnn-fmha; cnn6, vgg15, resnet9 or mobilenet15, the networks of `nsl`; or
    distil: the first layers of an encoder (arguments.encoder)"""
    size: str = "micro"
    """nano, micro or small; of distil its depth decides, and the networks of `nsl` have one size"""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """single sizes of the architecture that differ from the named one"""
    start: str = ""
    """begin with this student (name of the zoo, `hf:owner/repo@commit`, bundle or run folder), and take its
    architecture and sizes; it must not have heard a speaker the run holds out; `{fold}` in it is the fold's number"""
    frozen: bool = False
    """keep the features of that student as they are, and train its classifier alone"""

    def __post_init__(self) -> None:
        named = bool(self.start) or not self.frozen
        demand(named, "student.frozen", "false unless student.start names a student", self.frozen)


@dataclass(frozen=True)
class OptimPart:
    """The schedule."""

    epochs: int = 60
    """at most"""
    batch: int = 32
    """utterances a step"""
    lr: float = 3e-3
    """peak learning rate"""
    weight_decay: float = 0.01
    """of AdamW"""
    warmup: float = 0.1
    """share of the steps until the peak"""
    schedule: str = "cosine"
    """any scheduler name of transformers"""
    average: float = 0.0
    """decay per step of the running mean of the weights, which is what is evaluated and kept; 0 = off"""
    patience: int = 20
    """epochs without a better development UA until training stops; 0 = never"""
    balance: str = "sampler"
    """class balancing within each corpus: sampler (draw rare classes more often), loss (weight them), none"""
    balance_power: float = 1.0
    """0 leaves class frequencies as they are, 1 makes them equal"""
    clip: float = 5.0
    """largest gradient norm"""
    bf16: bool = False
    """convolutions in bfloat16: a little faster on hardware that has it; cost accuracy where it was tried, so off"""
    workers: int = 0
    """loader processes"""

    def __post_init__(self) -> None:
        demand(self.epochs >= 1, "optim.epochs", "at least 1", self.epochs)
        demand(self.batch >= 2, "optim.batch", "at least 2, for batch norms", self.batch)
        demand(self.lr > 0, "optim.lr", "above 0", self.lr)
        demand(0 <= self.warmup <= 1, "optim.warmup", "a share from 0 to 1", self.warmup)
        demand(0 <= self.average < 1, "optim.average", "from 0 to below 1", self.average)
        demand(self.balance in BALANCES, "optim.balance", f"one of {', '.join(BALANCES)}", self.balance)
