"""The parts of a recipe that are about teachers: who teaches a student, and what a teacher itself is trained from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sercli.errors import RecipeError
from sercli.fields import demand
from sercli.training.recipe_student import OptimPart, StudentPart

POOLINGS = ("mean", "statistics")


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
        demand(bool(self.name), "teacher.encoders.name", "a folder or a Hub id", self.name)
        demand(self.weight > 0, "teacher.encoders.weight", "above 0", self.weight)


@dataclass(frozen=True)
class BundlePart:
    """A student, or a teacher that `sercli train` made, that teaches."""

    name: str = ""
    """name of the zoo, `hf:owner/repo@commit`, or a bundle or run folder; it must not have heard a speaker the run
    holds out; `{fold}` in it is the fold's number, for teachers that were cross-validated (runs/teacher/fold-{fold})"""
    weight: float = 1.0
    """of its logits in the average over teachers"""

    def __post_init__(self) -> None:
        demand(bool(self.name), "teacher.students.name", "a student's name or folder", self.name)
        demand(self.weight > 0, "teacher.students.weight", "above 0", self.weight)


@dataclass(frozen=True)
class OwnPart:
    """A teacher of the student's kind, trained before it with labels alone, on the run's training speakers alone.

    Its augmentation and front end are the student's. Nobody selects in it: its last epoch is what teaches.
    """

    student: StudentPart = field(default_factory=StudentPart)
    """its network: architecture, size and arguments"""
    method: Mapping[str, Any] = field(default_factory=lambda: {"ce": {}})
    """as the recipe's own"""
    optim: OptimPart = field(default_factory=OptimPart)
    """its own schedule"""
    folder: str = ""
    """where its run stands; a finished one of the same recipe there is taken as it is, so that several students can
    learn from one; `{fold}` in it is the number of the fold; empty = `teacher` in the run's own folder"""

    def __post_init__(self) -> None:
        demand(not self.student.start, "teacher.own.student.start", "empty", self.student.start)


@dataclass(frozen=True)
class TeacherPart:
    """Who teaches: probes on frozen encoders, fitted on the training speakers of the run, and students.

    Or a network of the run's own, which then teaches alone.
    """

    encoders: tuple[EncoderPart, ...] = ()
    """one or several; their logits are averaged, methods that need states get the first one's"""
    students: tuple[BundlePart, ...] = ()
    """other students, with or without encoders; they give logits only"""
    own: OwnPart | None = None
    """instead: a network that is trained in the same run"""
    pooling: str = "mean"
    """of states over time: mean, or statistics (mean and standard deviation)"""
    strength: float = 0.01
    """C of the probe, a logistic regression: the smaller, the stronger its L2 penalty"""
    groups: int = 5
    """training speakers are parted into so many groups, each answered by a probe that has not heard it"""

    def __post_init__(self) -> None:
        demand(self.pooling in POOLINGS, "teacher.pooling", f"one of {', '.join(POOLINGS)}", self.pooling)
        demand(self.strength > 0, "teacher.strength", "above 0", self.strength)
        demand(self.groups >= 2, "teacher.groups", "at least 2", self.groups)
        if self.own and (self.encoders or self.students):
            other = "encoders" if self.encoders else "students"
            raise RecipeError(f"teacher.own: teaches alone; leave out teacher.own or teacher.{other}")

    @property
    def named(self) -> bool:
        """Whether anybody teaches."""
        return bool(self.encoders or self.students or self.own)


@dataclass(frozen=True)
class TrunkPart:
    """The speech encoder of a teacher that is to be trained, below the recipe's head; without a name, none.

    A frozen encoder's states come from the cache, where each clip is heard once and whole: of the augment section only
    mixup is of use then, of states. Layers that are trained hear the waveform, cut and changed as for students; what
    changes mel frames (masks, mel_shift) is a student's alone.
    """

    name: str = ""
    """local folder, or Hub id such as `facebook/hubert-base-ls960`"""
    revision: str = ""
    """of a Hub id: best its full commit"""
    layers: tuple[int, ...] = ()
    """whose states the head is given, 0 is the input of the first; empty = all but that"""
    trained_layers: int = 0
    """transformer layers trained, from the top: 0 none (frozen), -1 all, and all but the convolutions below them"""
    convolutions: bool = False
    """train those too; only with trained_layers -1"""
    cached: bool = False
    """give the trained layers the cached states of the layer below them, of clips as they are, in place of waveforms:
    what two cores can train; of the augment section then only cutting (max_seconds, trim_seconds) and mixup count"""
    lr: float = 2e-5
    """peak learning rate of the trained layers; the head has optim.lr"""

    def __post_init__(self) -> None:
        demand(self.trained_layers >= -1, "encoder.trained_layers", "a number of layers or -1", self.trained_layers)
        demand(self.lr > 0, "encoder.lr", "above 0", self.lr)
        above = not self.cached or self.trained_layers >= 1
        demand(above, "encoder.cached", "false unless encoder.trained_layers is 1 or more", self.cached)
        all_or_none = not self.convolutions or self.trained_layers == -1
        demand(all_or_none, "encoder.convolutions", "false unless encoder.trained_layers is -1", self.convolutions)
