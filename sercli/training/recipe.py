"""Recipes: one YAML file describes one training run, checked down to the last key before anything starts.

`recipe_file` reads and writes them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sercli.errors import RecipeError
from sercli.fields import demand
from sercli.training.recipe_teacher import TeacherPart, TrunkPart

BALANCES = ("sampler", "loss", "none")


@dataclass(frozen=True)
class Source:
    """One corpus of the training material."""

    name: str = ""
    """a name of `sercli corpus list`, `folder`, or the path of a CSV or JSONL table"""
    root: str = ""
    """the corpus's own folder; empty = a folder of that name under --data or $SERCLI_DATA"""
    weight: float = 1.0
    """how often its utterances are drawn, relative to their number"""

    def __post_init__(self) -> None:
        demand(self.weight > 0, "corpus.sources.weight", "above 0 (leave a corpus out to ignore it)", self.weight)


@dataclass(frozen=True)
class CorpusPart:
    """What is learned from."""

    labels: str = "seven"
    """label set: seven, ravdess8, emodb7 ..."""
    sources: tuple[Source, ...] = ()
    """corpora that are read and put together"""


@dataclass(frozen=True)
class SplitPart:
    """Who is trained on, who selects, who tests: by speaker, always."""

    protocol: str = ""
    """a published protocol, for example `ravdess-emobox6`: train and test every fold"""
    holdout: str = ""
    """instead: a named set of development speakers, nothing held out for test; `release` for the bundled students"""
    dev_speakers: Mapping[str, Any] = field(default_factory=dict)
    """instead: your own development speakers, corpus name to list; they select the epoch and calibrate the scores"""
    train_on_dev: bool = False
    """train on the development speakers too, for a schedule that is fixed beforehand: nobody selects, the last epoch
    is kept, and the result cannot be calibrated, so not exported"""


@dataclass(frozen=True)
class StudentPart:
    """The network."""

    architecture: str = "cnn-attention"
    """cnn-attention, tdnn, conformer, crnn or cnn-fmha"""
    size: str = "micro"
    """nano, micro or small"""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """single sizes of the architecture that differ from the named one"""
    start: str = ""
    """begin with this student (name of the zoo, `hf:owner/repo@commit`, bundle or run folder), and take its
    architecture and sizes; it must not have heard a speaker the run holds out"""


@dataclass(frozen=True)
class AugmentPart:
    """What is done to clips in training; zero switches an entry off."""

    max_seconds: float = 5.0
    """longer clips are cut at random, new every epoch"""
    trim_seconds: float = 0.3
    """time shift: up to this much is cut off at either end"""
    copies: tuple[float, ...] = ()
    """every training clip is there at these speeds (tempo and pitch) too, and a teacher hears each copy as the student
    does; an epoch stays as long"""
    speed: float = 0.0
    """relative change of tempo and pitch, uniform in 1 - speed to 1 + speed"""
    speed_probability: float = 0.7
    """share of clips whose speed changes"""
    gain_db: float = 0.0
    """loudness changes uniformly by up to this many dB either way"""
    noise_probability: float = 0.0
    """share of clips that get noise"""
    noise_snr_db: tuple[float, float] = (5.0, 30.0)
    """signal-to-noise ratio, uniform between these"""
    noise_folder: str = ""
    """folder of noise recordings; empty = synthesised white and pink noise"""
    time_masks: int = 2
    """SpecAugment: runs of frames set to the mean"""
    time_width: float = 0.15
    """longest run, as a share of the clip's frames"""
    mel_masks: int = 2
    """SpecAugment: runs of mel bands set to the mean"""
    mel_width: int = 10
    """longest run of bands"""
    mel_shift: int = 0
    """move the spectrum by up to this many bands either way (another vocal tract)"""
    mixup_alpha: float = 0.0
    """Beta(alpha, alpha) of mixup; 0 = off"""
    mixup_probability: float = 0.5
    """share of batches that are mixed"""

    def __post_init__(self) -> None:
        demand(self.max_seconds >= 0.5, "augment.max_seconds", "at least 0.5", self.max_seconds)
        demand(all(0.5 <= speed <= 2 for speed in self.copies), "augment.copies", "0.5 to 2", list(self.copies))
        demand(0 <= self.speed <= 0.5, "augment.speed", "from 0 to 0.5", self.speed)
        low, high = self.noise_snr_db
        demand(low <= high, "augment.noise_snr_db", "the lower bound first", list(self.noise_snr_db))


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


@dataclass(frozen=True)
class ExportPart:
    """The bundle."""

    window_seconds: float = 3.0
    """window of a timeline"""
    hop_seconds: float = 1.0
    """distance of its starts"""
    clip_seconds: float = 10.0
    """files longer than this are labelled piece by piece and averaged"""
    min_seconds: float = 0.25
    """shorter clips are padded to this"""
    int8: bool = True
    """also write the quantised model"""
    calibration_clips: int = 128
    """development clips that set the ranges of int8"""

    def __post_init__(self) -> None:
        demand(self.min_seconds >= 0.25, "export.min_seconds", "at least 0.25", self.min_seconds)
        demand(self.calibration_clips >= 1, "export.calibration_clips", "at least 1", self.calibration_clips)


@dataclass(frozen=True)
class StagePart:
    """One of several trainings that follow each other, each with the weights of the one before."""

    name: str = ""
    """names its folder"""
    method: Mapping[str, Any] = field(default_factory=dict)
    """as the recipe's own, which it replaces"""
    optim: OptimPart = field(default_factory=OptimPart)
    """its own schedule"""
    speech: tuple[Source, ...] = ()
    """further corpora, heard without their labels; the run's test and development speakers are left out"""
    own: bool = True
    """hear the run's own training clips too; without them the stage is the same for every fold and trained once"""


@dataclass(frozen=True)
class Recipe:
    """A whole run."""

    name: str = "student"
    """name of the student or teacher"""
    corpus: CorpusPart = field(default_factory=CorpusPart)
    split: SplitPart = field(default_factory=SplitPart)
    teacher: TeacherPart = field(default_factory=TeacherPart)
    student: StudentPart = field(default_factory=StudentPart)
    encoder: TrunkPart = field(default_factory=TrunkPart)
    """named, a teacher is trained in the place of a student"""
    head: Mapping[str, Any] = field(default_factory=dict)
    """of that teacher: pooling, hidden, dropout, attention"""
    outputs: Mapping[str, float] = field(default_factory=dict)
    """what that teacher says besides the class, with the weight in its loss: gender, dimensions; clips of which it is
    not known do not count"""
    before: tuple[StagePart, ...] = ()
    """stages before the main one, for example feature distillation on all speech"""
    method: Mapping[str, Any] = field(default_factory=lambda: {"ce": {}})
    """method name to its own arguments, for example `ce: {label_smoothing: 0.1}`, or a list of such entries"""
    augment: AugmentPart = field(default_factory=AugmentPart)
    optim: OptimPart = field(default_factory=OptimPart)
    export: ExportPart = field(default_factory=ExportPart)
    seed: int = 0
    """seed of every random choice"""

    def __post_init__(self) -> None:
        named = bool(re.fullmatch(r"[\w.+-]*\w[\w.+-]*", self.name))
        demand(named, "name", "letters, digits, '.', '_', '+' and '-', since it names files", self.name)
        demand(0 <= self.seed < 2**32, "seed", "from 0 to 2**32 - 1", self.seed)
        if self.encoder.name:
            if self.student != StudentPart():
                raise RecipeError("student: the recipe names an encoder, so it trains a teacher; leave one of them out")
            if self.teacher.named or self.before:
                part = "teacher" if self.teacher.named else "before"
                raise RecipeError(f"{part}: a teacher is trained with labels alone; leave out encoder or {part}")
        elif self.head or self.outputs or self.encoder != TrunkPart():
            part = "head" if self.head else "outputs" if self.outputs else "encoder"
            raise RecipeError(f"{part}: of a teacher that is trained; name its encoder (encoder.name)")
