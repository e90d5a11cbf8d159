"""`dkdfmh`: decoupled distillation at every scale of fused multi-head attention (Zhao et al. 2023, arXiv 2303.05134).

The paper establishes the network, logit distillation from several scales of attention sets, and DKD; not whether the
teacher is a network of its own or the student's deepest set, nor any figure of the loss. Both readings are here
(`topology`), and what the paper does not say is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from sercli.errors import RecipeError
from sercli.methods.base import Method, StudentShapes, TeacherShapes
from sercli.methods.terms import decoupled, weighted_mean

TOPOLOGIES = ("teacher-student", "self")


class AttentionSetDistillation(Method):
    """Sum over attention sets k of w_k T^2 (alpha TCKD_k + beta NCKD_k); see `terms.decoupled`.

    Goes with `ce: {exits: 1.0}`, which trains the deepest set and the others with the labels; with it alone the same
    network is trained in the same way but for the distillation, which is the control. Each set learns from the set of
    the same depth of a teacher that has as many, or all of them from the one vector of logits of any other teacher.

    Args:
        topology: `teacher-student`, or `self`: the deepest set teaches the shallower ones and is not changed by it
        alpha: factor of TCKD, the target class against the rest
        beta: factor of NCKD, the dark knowledge of the classes that are not the target. The default is that of
            megvii-research/mdistiller for 100 classes and probably too large for a few: choose it on development
            speakers
        temperature: T
        scales: numbers of the sets that learn, 1 the shallowest; default: all, in `self` all but the deepest
        scale_weights: w_k, one for each of them; default: alike with sum 1, so that beta means the same for one set
            as for several
        weight: see Method
        warmup: see Method
    """

    name = "dkdfmh"
    needs = frozenset({"logits"})

    def __init__(
        self,
        topology: str = "teacher-student",
        alpha: float = 1.0,
        beta: float = 8.0,
        temperature: float = 4.0,
        scales: tuple[int, ...] = (),
        scale_weights: tuple[float, ...] = (),
        weight: float = 1.0,
        warmup: float = 20.0,
    ) -> None:
        super().__init__(weight, warmup)
        self.demand(topology in TOPOLOGIES, "topology", f"one of {', '.join(TOPOLOGIES)}", topology)
        self.demand(temperature > 0, "temperature", "above 0", temperature)
        self.demand(len(set(scales)) == len(scales), "scales", "different sets", list(scales))
        self.demand(all(share >= 0 for share in scale_weights), "scale_weights", "0 or above", list(scale_weights))
        self.itself = topology == "self"
        if self.itself:
            self.needs = frozenset()
        self.alpha = alpha
        self.beta = beta
        self.temperature = temperature
        self.scales = scales
        self.scale_weights = scale_weights

    def connect(self, student: StudentShapes, teacher: TeacherShapes | None) -> None:
        """Find the sets; see Method.connect.

        Raises:
            RecipeError: also a student without attention sets, or with other numbers of them than asked for or than the
                teacher has
        """
        super().connect(student, teacher)
        sets = student.exits
        if not sets:
            raise RecipeError(
                f"method.{self.name}: the student has no attention sets; take student.architecture cnn-fmha, or `dkd`"
            )
        if not self.itself and teacher is not None and teacher.exits not in (0, sets):
            both = f"the teacher has {teacher.exits} attention sets and the student {sets}"
            raise RecipeError(f"method.{self.name}: {both}; give both the same student.arguments.sets")
        learning = sets - 1 if self.itself else sets
        self.demand(learning > 0, "topology", "teacher-student for a student with one attention set", "self")
        self.chosen = [scale - 1 for scale in self.scales] or list(range(learning))
        known = all(0 <= scale < learning for scale in self.chosen)
        self.demand(known, "scales", f"numbers of sets from 1 to {learning}", list(self.scales))
        self.shares = self.scale_weights or (1.0 / len(self.chosen),) * len(self.chosen)
        wish = f"as many as scales, {len(self.chosen)}"
        self.demand(len(self.shares) == len(self.chosen), "scale_weights", wish, list(self.shares))

    def terms(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Terms `dkdfmh.tckd` and `dkdfmh.nckd`, summed over the sets; see Method.losses."""
        student = outputs["exits"][:, self.chosen]
        if self.itself:
            teacher = outputs["logits"].detach()[:, None]
        elif "teacher_exits" in batch:
            teacher = batch["teacher_exits"][:, self.chosen]
        else:
            teacher = batch["teacher_logits"][:, None]
        shares = student.new_tensor(self.shares)
        tckd, nckd = decoupled(
            teacher.expand_as(student) / self.temperature,
            student / self.temperature,
            batch["targets"][:, None],
            batch["known"][:, None],
        )  # (batch, sets)
        square, weights = self.temperature**2, batch["weights"]
        return {
            "dkdfmh.tckd": self.alpha * square * weighted_mean(tckd @ shares, weights),
            "dkdfmh.nckd": self.beta * square * weighted_mean(nckd @ shares, weights),
        }
