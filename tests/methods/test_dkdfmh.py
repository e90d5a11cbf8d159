"""dkdfmh: DKD set by set with its golden values, weights of the sets, both topologies; ce at every set."""

import re
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')

from method_batches import EXITS, STUDENT, TEACHER, connected, random_batch  # noqa: E402

from sercli.errors import RecipeError  # noqa: E402
from sercli.methods import build_methods  # noqa: E402
from sercli.methods.base import Method, StudentShapes, TeacherShapes  # noqa: E402
from sercli.methods.terms import cross_entropy, divergence  # noqa: E402

SETS_TEACHER = TeacherShapes(TEACHER.classes, 0, (), exits=EXITS)
FULL = {"weight": 1.0, "warmup": 0.0}


def of_sets(**arguments: Any) -> Method:
    """The method for a teacher with as many sets."""
    ((_, method),) = build_methods({"dkdfmh": {**FULL, **arguments}})
    method.connect(STUDENT, SETS_TEACHER)
    return method


def batch_of_sets() -> tuple[Any, Any]:
    outputs, batch = random_batch()
    random = torch.Generator().manual_seed(1)
    return outputs, {**batch, "teacher_exits": torch.randn(outputs["exits"].shape, generator=random)}


def one_set(method: str, outputs: Any, batch: Any, student: int, teacher: int | None) -> dict[str, torch.Tensor]:
    """Terms of a method that looks at one vector of logits, of a set of the student and one of the teacher."""
    said = batch["teacher_logits"] if teacher is None else batch["teacher_exits"][:, teacher]
    built = connected(method, temperature=4, **FULL, **({"beta": 1} if method == "dkd" else {}))
    return built.losses({"logits": outputs["exits"][:, student]}, {**batch, "teacher_logits": said})


def test_golden_values_at_every_set() -> None:
    student = torch.tensor([[1, 0.5, -0.5, 0.2], [0.1, -0.2, 0.3, 0.4]], dtype=torch.float64)
    teacher = torch.tensor([[2, 0.3, -1, 0.1], [0.2, 1.5, -0.3, 0.7]], dtype=torch.float64)
    ((_, method),) = build_methods({"dkdfmh": {"beta": 1, "scale_weights": [1, 1], **FULL}})
    method.connect(StudentShapes(4, 6, {"frames": 6}, exits=2), TeacherShapes(4, 0, (), exits=2))
    batch = {
        "targets": torch.eye(4, dtype=torch.float64)[:2],
        "known": torch.ones(2, 4, dtype=torch.bool),
        "weights": torch.ones(2, dtype=torch.float64),
        "teacher_exits": torch.stack([teacher, student], dim=1),
    }
    terms = method.losses({"exits": torch.stack([student, student], dim=1)}, batch)
    assert list(terms) == ["dkdfmh.tckd", "dkdfmh.nckd"]
    assert terms["dkdfmh.tckd"].item() == pytest.approx(0.2425600, abs=5e-8)  # the second set equals its teacher
    assert terms["dkdfmh.nckd"].item() == pytest.approx(0.0427216, abs=5e-8)


def test_full_divergence_is_tckd_and_the_rest_of_the_probability_times_nckd_at_every_set() -> None:
    outputs, batch = batch_of_sets()
    outputs["exits"] = outputs["exits"].detach().double()
    batch = {name: value.double() if value.is_floating_point() else value for name, value in batch.items()}
    for clip in range(len(outputs["exits"])):
        one = {name: value[clip : clip + 1] for name, value in batch.items() if name != "epoch"}
        label = int(one["targets"].argmax())
        for scale in range(EXITS):
            method = of_sets(beta=1, scales=[scale + 1], scale_weights=[1])
            terms = method.losses({"exits": outputs["exits"][clip : clip + 1]}, one)
            soft, found = one["teacher_exits"][:, scale] / 4, outputs["exits"][clip : clip + 1, scale] / 4
            target = torch.softmax(torch.where(one["known"], soft, -torch.inf), dim=1)[0, label]
            full = 16 * divergence(soft, found, one["known"])[0]
            assert (terms["dkdfmh.tckd"] + (1 - target) * terms["dkdfmh.nckd"]).item() == pytest.approx(
                full.item(), abs=1e-6
            )


@pytest.mark.parametrize("own_sets", [True, False])
def test_each_set_learns_from_its_depth_or_all_from_the_one_vector_there_is(own_sets: bool) -> None:
    outputs, batch = batch_of_sets()
    if not own_sets:
        del batch["teacher_exits"]
    weights = [0.5, 2.0, 0.25]
    found = of_sets(alpha=3, beta=2, scale_weights=weights).losses(outputs, batch)
    single = [one_set("dkd", outputs, batch, k, k if own_sets else None) for k in range(EXITS)]
    for name, factor in (("tckd", 3), ("nckd", 2)):
        expected = sum(share * terms[f"dkd.{name}"] for share, terms in zip(weights, single, strict=True))
        torch.testing.assert_close(found[f"dkdfmh.{name}"], factor * expected)


def test_sets_weigh_alike_and_one_together_unless_told() -> None:
    outputs, batch = batch_of_sets()
    every = of_sets(beta=1).losses(outputs, batch)
    some = of_sets(beta=1, scales=[3, 1]).losses(outputs, batch)
    single = [one_set("dkd", outputs, batch, k, k) for k in range(EXITS)]
    for name in ("tckd", "nckd"):
        of_each = torch.stack([terms[f"dkd.{name}"] for terms in single])
        torch.testing.assert_close(every[f"dkdfmh.{name}"], of_each.mean())
        torch.testing.assert_close(some[f"dkdfmh.{name}"], of_each[[0, 2]].mean())


def test_only_the_sets_that_learn_are_changed() -> None:
    outputs, batch = batch_of_sets()
    batch["teacher_exits"].requires_grad_()
    sum(of_sets(scales=[2]).losses(outputs, batch).values()).backward()
    gradient = outputs["exits"].grad
    assert gradient[:, 1].any()
    assert not gradient[:, [0, 2]].any()
    assert outputs["logits"].grad is None
    assert batch["teacher_exits"].grad is None


def test_the_deepest_set_teaches_the_shallower_ones_and_stays_put() -> None:
    outputs, batch = random_batch()
    del batch["teacher_logits"]
    ((_, method),) = build_methods({"dkdfmh": {"topology": "self", "beta": 1, **FULL}})
    method.connect(STUDENT, None)
    terms = method.losses(outputs, batch)
    sum(terms.values()).backward()
    assert outputs["logits"].grad is None
    assert not outputs["exits"].grad[:, -1].any()
    assert outputs["exits"].grad[:, :-1].abs().amax(dim=(0, 2)).min() > 0
    taught = {**batch, "teacher_logits": outputs["logits"].detach()}
    single = [one_set("dkd", outputs, taught, k, None) for k in range(EXITS - 1)]
    torch.testing.assert_close(terms["dkdfmh.nckd"], torch.stack([one["dkd.nckd"] for one in single]).mean())


@pytest.mark.parametrize(
    ("arguments", "student", "teacher", "message"),
    [
        ({}, 0, EXITS, "the student has no attention sets; take student.architecture cnn-fmha, or `dkd`"),
        ({}, 2, EXITS, "the teacher has 3 attention sets and the student 2; give both the same student.arguments.sets"),
        ({"scales": [0, 1]}, 3, 0, "method.dkdfmh.scales: must be numbers of sets from 1 to 3, not [0, 1]"),
        ({"scales": [3], "topology": "self"}, 3, 0, "scales: must be numbers of sets from 1 to 2, not [3]"),
        ({"scales": [1, 1]}, 3, 0, "method.dkdfmh.scales: must be different sets, not [1, 1]"),
        ({"scale_weights": [1, 1]}, 3, 0, "scale_weights: must be as many as scales, 3, not [1.0, 1.0]"),
        ({"scale_weights": [1, -1, 1]}, 3, 0, "scale_weights: must be 0 or above"),
        ({"topology": "self"}, 1, 0, "topology: must be teacher-student for a student with one attention set"),
        ({"topology": "both"}, 3, 0, "topology: must be one of teacher-student, self, not 'both'"),
        ({"temperature": 0}, 3, 0, "temperature: must be above 0"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: Any, student: int, teacher: int, message: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(message)):
        build_methods({"dkdfmh": arguments})[0][1].connect(
            StudentShapes(5, 6, {"frames": 6}, student), TeacherShapes(5, 0, (), exits=teacher)
        )


def test_labels_train_every_set_where_the_recipe_says_so() -> None:
    outputs, batch = random_batch()
    plain = connected("ce").losses(outputs, batch)
    terms = connected("ce", exits=0.5).losses(outputs, batch)
    assert list(terms) == ["ce", "ce.exits"]
    torch.testing.assert_close(terms["ce"], plain["ce"])
    share = batch["weights"] / batch["weights"].sum()
    each = [
        (share * cross_entropy(outputs["exits"][:, k], batch["targets"], batch["known"], 0.1)).sum()
        for k in range(EXITS - 1)
    ]
    torch.testing.assert_close(terms["ce.exits"], 0.5 * torch.stack(each).mean())
    with pytest.raises(RecipeError, match=r"^method\.ce\.exits: the student has one classifier; set it to 0$"):
        connected("ce", exits=1).connect(StudentShapes(5, 6, {"frames": 6}), None)
