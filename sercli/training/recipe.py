"""Recipes: one YAML file describes one training run, checked down to the last key before anything starts.

`recipe_file` reads and writes them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sercli.errors import RecipeError

BALANCES = ("sampler", "loss", "none")
POOLINGS = ("mean", "statistics")


def _demand(fulfilled: bool, key: str, wish: str, value: object) -> None:
    if not fulfilled:
        raise RecipeError(f"{key}: must be {wish}, not {value!r}")


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
        _demand(self.weight > 0, "corpus.sources.weight", "above 0 (leave a corpus out to ignore it)", self.weight)


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

    size: str = "micro"
    """nano, micro or small"""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """single sizes that differ from the named one"""


@dataclass(frozen=True)
class EncoderPart:
    """One large speech encoder."""

    name: str = ""
    """local folder, or Hub id such as `facebook/hubert-base-ls960`"""
    revision: str = ""
    """of a Hub id: best its full commit"""
    layers: tuple[int, ...] = ()
    """whose states are used, 0 is the input of the first; empty = all but that"""
    weight: float = 1.0
    """of its logits in the average over encoders"""

    def __post_init__(self) -> None:
        _demand(bool(self.name), "teacher.encoders.name", "a folder or a Hub id", self.name)
        _demand(self.weight > 0, "teacher.encoders.weight", "above 0", self.weight)


@dataclass(frozen=True)
class BundlePart:
    """A student that teaches."""

    name: str = ""
    """name of a bundled student, or a bundle or run folder; it must not have heard a speaker the run holds out"""
    weight: float = 1.0
    """of its logits in the average over teachers"""

    def __post_init__(self) -> None:
        _demand(bool(self.name), "teacher.students.name", "a student's name or folder", self.name)
        _demand(self.weight > 0, "teacher.students.weight", "above 0", self.weight)


@dataclass(frozen=True)
class TeacherPart:
    """Who teaches: probes on frozen encoders, fitted on the training speakers of the run, and students."""

    encoders: tuple[EncoderPart, ...] = ()
    """one or several; their logits are averaged, methods that need states get the first one's"""
    students: tuple[BundlePart, ...] = ()
    """other students, with or without encoders; they give logits only"""
    pooling: str = "mean"
    """of states over time: mean, or statistics (mean and standard deviation)"""
    strength: float = 0.01
    """C of the probe, a logistic regression: the smaller, the stronger its L2 penalty"""
    groups: int = 5
    """training speakers are parted into so many groups, each answered by a probe that has not heard it"""

    def __post_init__(self) -> None:
        _demand(self.pooling in POOLINGS, "teacher.pooling", f"one of {', '.join(POOLINGS)}", self.pooling)
        _demand(self.strength > 0, "teacher.strength", "above 0", self.strength)
        _demand(self.groups >= 2, "teacher.groups", "at least 2", self.groups)

    @property
    def named(self) -> bool:
        """Whether anybody teaches."""
        return bool(self.encoders or self.students)


@dataclass(frozen=True)
class AugmentPart:
    """What is done to clips in training; zero switches an entry off."""

    max_seconds: float = 5.0
    """longer clips are cut at random, new every epoch"""
    trim_seconds: float = 0.3
    """time shift: up to this much is cut off at either end"""
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
        _demand(self.max_seconds >= 0.5, "augment.max_seconds", "at least 0.5", self.max_seconds)
        _demand(0 <= self.speed <= 0.5, "augment.speed", "from 0 to 0.5", self.speed)
        low, high = self.noise_snr_db
        _demand(low <= high, "augment.noise_snr_db", "the lower bound first", list(self.noise_snr_db))


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
        _demand(self.epochs >= 1, "optim.epochs", "at least 1", self.epochs)
        _demand(self.batch >= 2, "optim.batch", "at least 2, for batch norms", self.batch)
        _demand(self.lr > 0, "optim.lr", "above 0", self.lr)
        _demand(0 <= self.warmup <= 1, "optim.warmup", "a share from 0 to 1", self.warmup)
        _demand(0 <= self.average < 1, "optim.average", "from 0 to below 1", self.average)
        _demand(self.balance in BALANCES, "optim.balance", f"one of {', '.join(BALANCES)}", self.balance)


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
        _demand(self.min_seconds >= 0.25, "export.min_seconds", "at least 0.25", self.min_seconds)
        _demand(self.calibration_clips >= 1, "export.calibration_clips", "at least 1", self.calibration_clips)


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
    """name of the student"""
    corpus: CorpusPart = field(default_factory=CorpusPart)
    split: SplitPart = field(default_factory=SplitPart)
    teacher: TeacherPart = field(default_factory=TeacherPart)
    student: StudentPart = field(default_factory=StudentPart)
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
        _demand(named, "name", "letters, digits, '.', '_', '+' and '-', since it names files", self.name)
        _demand(0 <= self.seed < 2**32, "seed", "from 0 to 2**32 - 1", self.seed)
