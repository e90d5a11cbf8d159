"""What every method is: named loss terms from a student's outputs and a batch, times a factor that may warm up."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from sercli.errors import RecipeError
from sercli.fields import demand, from_dict
from sercli.methods.terms import precise
from sercli.nearest import nearest_or_all

OF_STATES = frozenset({"pooled", "frames"})
"""What only an encoder's states can give a method."""


@dataclass(frozen=True)
class StudentShapes:
    """Widths of what a student returns in training."""

    classes: int
    embedding: int
    stages: Mapping[str, int]
    """stage name to width, shallow to deep; the deepest is `frames`"""
    exits: int = 0
    """vectors of logits, the deepest of which is `logits`; 0 = that one alone, without `exits`"""
    scale: float = 0.0
    """the logits are so many times cosines, from -1 to 1; 0 = they are not"""
    rates: bool = False
    """it says arousal, valence and dominance too"""


@dataclass(frozen=True)
class TeacherShapes:
    """What a teacher gives."""

    classes: int
    """0 = no logits"""
    width: int
    """of one state"""
    layers: tuple[int, ...]
    """numbers of the layers that are given, in the order of the tensors"""
    mean: Tensor | None = None
    """of the time-pooled states over the training clips, shape (layers, width)"""
    std: Tensor | None = None
    """their standard deviation, shape (layers, width)"""
    exits: int = 0
    """vectors of logits, as of a student"""
    rates: bool = False
    """it says arousal, valence and dominance too"""


class Method(nn.Module):
    """A training method; subclasses take their recipe arguments as keyword arguments of `__init__`.

    Modules of its own (regressors, exits) are built by `connect`, train with the student and are dropped afterwards.

    Args:
        weight: factor of all its terms
        warmup: epochs over which the factor rises from 0; 0 = at full strength from the start
    """

    name: ClassVar[str]
    """in recipes"""
    needs: frozenset[str] = frozenset()
    """what it asks of the teacher: `logits`, `dimensions`, `pooled`, `frames`"""
    hears_neighbours: ClassVar[bool] = False
    """whether it compares clips with their neighbours in the recipe's graph"""
    smallest_batch: ClassVar[int] = 1
    """clips that it must compare in one step; `check_batch` refuses smaller batches, and what is left over at the end
    of an epoch counts nothing"""

    def __init__(self, weight: float = 1.0, warmup: float = 0.0) -> None:
        super().__init__()
        self.demand(weight >= 0, "weight", "0 or above", weight)
        self.demand(warmup >= 0, "warmup", "0 or above, in epochs", warmup)
        self.weight = weight
        self.warmup = warmup
        self.layers: tuple[int, ...] = ()
        """layers of the teacher that it reads; empty = chosen from those that are given"""

    def terms(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Compute the method's loss terms before weight and warm-up, each a scalar; arguments as for `losses`."""
        raise NotImplementedError

    def losses(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Compute the method's loss terms, in float32 or better whatever comes in, without gradient to the batch.

        Args:
            outputs: what the student returned: `logits` (batch, classes), `embedding` (batch, d), `stages`, stage
                name to (features (batch, frames, width), zero in the padding, and frames per clip (batch,)),
                `exits` (batch, exits, classes) where it has several classifiers, and `neighbours`, the `logits` and
                `embedding` of each clip's neighbours (batch, neighbours, ...), where a method hears them
            batch: `targets` (batch, classes) that sum to 1, or to 0 without a label, `known` bool (batch, classes),
                `weights` (batch,), `epoch`, a scalar that counts parts of epochs too, and what the method needs of the
                teacher: `teacher_logits` (batch, classes), `teacher_exits` (batch, exits, classes) of one that has
                several classifiers, `teacher_dimensions` (batch, 3) from 0 to 1, `teacher_pooled` (batch, layers,
                width), `teacher_frames` (batch, frames, layers, width) with `teacher_counts` (batch,); with neighbours
                `edge_weights` (batch, neighbours), 0 for none

        Returns:
            term name to a scalar; the run minimises their sum
        """
        # A teacher's frames are by far the largest part and stay as they came: `align` widens those that are used.
        batch = {
            name: value.detach() if name == "teacher_frames" else precise(value.detach())
            for name, value in batch.items()
        }
        stages = {name: (precise(features), counts) for name, (features, counts) in outputs.get("stages", {}).items()}
        nested: dict[str, Any] = {"stages": stages}
        if "neighbours" in outputs:
            nested["neighbours"] = {name: precise(value) for name, value in outputs["neighbours"].items()}
        outputs = {**{name: precise(value) for name, value in outputs.items() if name not in nested}, **nested}
        factor: float | Tensor = self.weight if len(batch["weights"]) >= self.smallest_batch else 0.0
        if self.warmup > 0:
            factor = factor * (batch["epoch"] / self.warmup).clamp(max=1.0)
        return {name: factor * term for name, term in self.terms(outputs, batch).items()}

    def connect(self, student: StudentShapes, teacher: TeacherShapes | None) -> None:
        """Check that student and teacher fit, and build the method's own modules; once, before training.

        Raises:
            RecipeError: no teacher where one is needed, or one that lacks what is asked of it
        """
        if self.needs:
            self.checked(student, teacher)

    def checked(self, student: StudentShapes, teacher: TeacherShapes | None) -> TeacherShapes:
        """Return the teacher, which must give what the method needs.

        Raises:
            RecipeError: it does not
        """
        if teacher is None:
            raise RecipeError(f"method.{self.name}: needs a teacher; name one, or leave the method out")
        if "logits" in self.needs and teacher.classes != student.classes:
            classes = f"{teacher.classes} classes and the student {student.classes}"
            raise RecipeError(f"method.{self.name}: the teacher has {classes}; both need the same label set")
        if self.needs & OF_STATES and not teacher.layers:
            raise RecipeError(f"method.{self.name}: the teacher gives no layers; choose some of it")
        return teacher

    def positions(self, teacher: TeacherShapes, deepest: int | None = None) -> list[int]:
        """Find where the method's layers stand in the teacher's tensors.

        Args:
            teacher: what it gives
            deepest: how many to take where the recipe names none; default: all

        Raises:
            RecipeError: a layer that the teacher does not give
        """
        given = teacher.layers
        for layer in self.layers:
            if layer not in given:
                known = ", ".join(map(str, given))
                raise RecipeError(f"method.{self.name}: the teacher gives no layer {layer}; it gives {known}")
        chosen = self.layers or sorted(given)[-(deepest or len(given)) :]
        return [given.index(layer) for layer in chosen]

    def stage_width(self, student: StudentShapes, stage: str) -> int:
        """Look up how wide a stage of the student is.

        Raises:
            RecipeError: no such stage, with the nearest name
        """
        if stage not in student.stages:
            hint = nearest_or_all(stage, student.stages)
            raise RecipeError(f"method.{self.name}: the student has no stage {stage!r}; {hint}")
        return student.stages[stage]

    @classmethod
    def demand(cls, fulfilled: bool, key: str, wish: str, value: object) -> None:
        """Refuse the value of a recipe argument.

        Raises:
            RecipeError: the condition is not fulfilled
        """
        demand(fulfilled, f"method.{cls.name}.{key}", wish, value)

    @classmethod
    def from_arguments(cls, place: str, arguments: Mapping[str, Any]) -> Self:
        """Build from recipe arguments.

        Args:
            place: dotted recipe key, for messages
            arguments: keyword arguments

        Raises:
            RecipeError: unknown argument, with the nearest name, or a value that does not fit
        """
        parts = inspect.signature(cls, eval_str=True).parameters.values()
        kind = dataclasses.make_dataclass(cls.__name__, [(part.name, part.annotation, part.default) for part in parts])
        return cls(**vars(from_dict(kind, arguments, f"{place}.")))
