"""The parts of a recipe that are about teachers: who teaches a student, and what a teacher itself is trained from."""

from __future__ import annotations

from dataclasses import dataclass

from sercli.fields import demand

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
    """name of the zoo, `hf:owner/repo@commit`, or a bundle or run folder; it must not have heard a speaker
    the run holds out"""
    weight: float = 1.0
    """of its logits in the average over teachers"""

    def __post_init__(self) -> None:
        demand(bool(self.name), "teacher.students.name", "a student's name or folder", self.name)
        demand(self.weight > 0, "teacher.students.weight", "above 0", self.weight)


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
        demand(self.pooling in POOLINGS, "teacher.pooling", f"one of {', '.join(POOLINGS)}", self.pooling)
        demand(self.strength > 0, "teacher.strength", "above 0", self.strength)
        demand(self.groups >= 2, "teacher.groups", "at least 2", self.groups)

    @property
    def named(self) -> bool:
        """Whether anybody teaches."""
        return bool(self.encoders or self.students)


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
    lr: float = 2e-5
    """peak learning rate of the trained layers; the head has optim.lr"""

    def __post_init__(self) -> None:
        demand(self.trained_layers >= -1, "encoder.trained_layers", "a number of layers or -1", self.trained_layers)
        demand(self.lr > 0, "encoder.lr", "above 0", self.lr)
        all_or_none = not self.convolutions or self.trained_layers == -1
        demand(all_or_none, "encoder.convolutions", "false unless encoder.trained_layers is -1", self.convolutions)
