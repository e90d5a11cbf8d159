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
from sercli.training.recipe_gmp import NAME as GMP
from sercli.training.recipe_graph import GraphPart
from sercli.training.recipe_student import OptimPart, StudentPart
from sercli.training.recipe_teacher import TeacherPart, TrunkPart


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
    """label set: seven, ravdess8, emodb7 ..., or labels of your own, parted by commas: `happy,angry,bored`"""
    sources: tuple[Source, ...] = ()
    """corpora that are read and put together"""
    rated: bool = False
    """keep utterances with ratings but without a place in the label set too; they teach `outputs.dimensions` alone"""
    derived_dimensions: bool = False
    """give corpora without ratings a point of arousal, valence and dominance for each emotion word (Russell and
    Mehrabian 1977): not what anybody heard, and named so wherever a figure comes from it"""


@dataclass(frozen=True)
class SplitPart:
    """Who is trained on, who selects, who tests: by speaker, always."""

    protocol: str = ""
    """a published protocol, for example `ravdess-emobox6`: train and test every fold"""
    holdout: str = ""
    """instead: a named set of development speakers, nothing held out for test; `release` for the bundled students"""
    dev_speakers: Mapping[str, Any] = field(default_factory=dict)
    """instead: your own development speakers, corpus name to list; they select the epoch and calibrate the scores"""
    dev_share: float = 0.0
    """instead: this share of each corpus's speakers, one at least, always the same ones; for data of your own"""
    sentences: int = 0
    """part the sentences of the corpora into so many groups too: fold n is tested on group n (modulo their number), and
    trained on the other groups alone; 0 = every sentence stands on both sides"""
    train_on_dev: bool = False
    """train on the development speakers too, for a schedule that is fixed beforehand: nobody selects, the last epoch
    is kept, and the result cannot be calibrated, so not exported"""

    def __post_init__(self) -> None:
        demand(0 <= self.dev_share < 1, "split.dev_share", "a share from 0 to below 1", self.dev_share)
        demand(self.sentences == 0 or self.sentences >= 2, "split.sentences", "0, or 2 groups or more", self.sentences)


@dataclass(frozen=True)
class NoisePart:
    """Noise and rooms that training clips are heard in, drawn anew each time; a teacher always hears the clean clip."""

    kinds: tuple[str, ...] = ()
    """each as likely: noise types of the folder; babble, of other training speakers; white, pink or coloured (between
    white and brown), synthesised"""
    folder: str = ""
    """of noise types, from each of which training takes the recordings below `train` and no others"""
    snr_db: tuple[float, float] = (0.0, 20.0)
    """signal-to-noise ratio, uniform between these, over what of a clip is no digital silence"""
    probability: float = 0.0
    """share of clips that get noise"""
    rir_folder: str = ""
    """of room impulse responses; those below `train` where it has such a folder. Test with others"""
    rir_probability: float = 0.0
    """share of clips that are moved into a room, before noise is added"""

    def __post_init__(self) -> None:
        low, high = self.snr_db
        demand(low <= high, "augment.noise.snr_db", "the lower bound first", list(self.snr_db))
        for key in ("probability", "rir_probability"):
            share = getattr(self, key)
            demand(0 <= share <= 1, f"augment.noise.{key}", "a share from 0 to 1", share)
        named = bool(self.kinds) or self.probability == 0
        demand(named, "augment.noise.kinds", "one at least, or augment.noise.probability 0", list(self.kinds))
        named = bool(self.rir_folder) or self.rir_probability == 0
        demand(named, "augment.noise.rir_folder", "a folder, or augment.noise.rir_probability 0", self.rir_folder)


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
    noise: NoisePart = field(default_factory=NoisePart)
    """noise and rooms"""
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
    """what is said besides the class, with the weight in the loss: dimensions (arousal, valence, dominance), and of a
    teacher that is trained gender; clips of which it is not known do not count"""
    before: tuple[StagePart, ...] = ()
    """stages before the main one, for example feature distillation on all speech"""
    speech: tuple[Source, ...] = ()
    """further corpora that are heard with the run's own clips, without their labels, drawn as their weights say; the
    run's test and development speakers are left out"""
    method: Mapping[str, Any] = field(default_factory=lambda: {"ce": {}})
    """method name to its own arguments, for example `ce: {label_smoothing: 0.1}`, or a list of such entries"""
    graph: GraphPart = field(default_factory=GraphPart)
    """neighbours among the training clips, for `nsl`"""
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
            if self.graph.named:
                raise RecipeError("graph: a teacher is trained with labels alone; leave out encoder or graph")
        elif GMP in self.method:
            raise RecipeError(f"method.{GMP}: trains a teacher; name its encoder (encoder.name)")
        elif self.head or self.encoder != TrunkPart():
            part = "head" if self.head else "encoder"
            raise RecipeError(f"{part}: of a teacher that is trained; name its encoder (encoder.name)")
