"""kd, kd-std, dkd and dist: values computed beforehand in float64, identities, classes that a corpus lacks."""

import math
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')

from method_batches import logits_batch, random_batch  # noqa: E402

from sercli.methods import build_methods  # noqa: E402
from sercli.methods.base import Method  # noqa: E402
from sercli.methods.terms import divergence  # noqa: E402

STUDENT = torch.tensor([[1, 0.5, -0.5, 0.2], [0.1, -0.2, 0.3, 0.4]], dtype=torch.float64)
TEACHER = torch.tensor([[2, 0.3, -1, 0.1], [0.2, 1.5, -0.3, 0.7]], dtype=torch.float64)
GOLDEN = logits_batch(STUDENT, TEACHER, [0, 1])
LOGIT_METHODS = ["ce", "kd", "kd-std", "dkd", "dist"]


def build(name: str, **arguments: Any) -> Method:
    ((_, method),) = build_methods({name: {"weight": 1.0, "warmup": 0.0, **arguments}})
    return method


def close(value: torch.Tensor, expected: float, digits: int = 7) -> bool:
    return abs(value.item() - expected) <= 0.5 * 10**-digits


def test_kd() -> None:
    per_clip = divergence(TEACHER / 4, STUDENT / 4, GOLDEN[1]["known"])
    assert close(per_clip[0], 0.011446, 6)
    assert close(per_clip[1], 0.022494, 6)
    assert close(build("kd").losses(*GOLDEN)["kd"], 0.2715209)


def test_kd_of_standardised_logits() -> None:
    assert close(build("kd-std").losses(*GOLDEN)["kd-std"], 0.6619265)


def test_standardised_kd_ignores_shift_and_scale() -> None:
    outputs, batch = logits_batch(3.0 * TEACHER - 1.0, TEACHER, [0, 1])
    assert build("kd-std").losses(outputs, batch)["kd-std"].item() == pytest.approx(0.0, abs=1e-12)
    assert build("kd").losses(outputs, batch)["kd"] > 0.1


def test_dkd() -> None:
    terms = build("dkd", beta=1).losses(*GOLDEN)
    assert close(terms["dkd.tckd"], 0.2425600)
    assert close(terms["dkd.nckd"], 0.0427216)
    assert close(sum(build("dkd").losses(*GOLDEN).values()), 0.5843329)


def test_kd_is_tckd_and_the_rest_of_the_probability_times_nckd() -> None:
    """KL(p_teacher || p_student) = TCKD + (1 - p_target of the teacher) NCKD, clip by clip."""
    for clip, label in enumerate([0, 1]):
        outputs, batch = logits_batch(STUDENT[clip : clip + 1], TEACHER[clip : clip + 1], [label])
        terms = build("dkd", beta=1).losses(outputs, batch)
        rest = 1 - torch.softmax(TEACHER[clip] / 4, dim=0)[label]
        torch.testing.assert_close(
            build("kd").losses(outputs, batch)["kd"], terms["dkd.tckd"] + rest * terms["dkd.nckd"]
        )


def test_dkd_of_a_teacher_that_knows_nothing() -> None:
    """The closed form for a uniform teacher over C classes."""
    outputs, batch = logits_batch(STUDENT[:1], torch.zeros_like(STUDENT[:1]), [2])
    terms = build("dkd", beta=1, temperature=1).losses(outputs, batch)
    classes, q = 4, torch.softmax(STUDENT[0], dim=0)
    others = torch.softmax(STUDENT[0, [0, 1, 3]], dim=0)
    tckd = math.log(1 / (classes * q[2])) / classes
    tckd += (classes - 1) / classes * math.log((classes - 1) / (classes * (1 - q[2])))
    nckd = -math.log(classes - 1) - others.log().mean().item()
    assert terms["dkd.tckd"].item() == pytest.approx(tckd, rel=1e-12)
    assert terms["dkd.nckd"].item() == pytest.approx(nckd, rel=1e-12)


def test_dkd_of_mixed_clips_averages_the_classes() -> None:
    outputs, batch = logits_batch(STUDENT, TEACHER, [0, 1])
    swapped = {**batch, "targets": batch["targets"].flip(0)}
    mixed = {**batch, "targets": 0.3 * batch["targets"] + 0.7 * swapped["targets"]}
    first, second, both = (build("dkd").losses(outputs, part) for part in (batch, swapped, mixed))
    for name in both:
        torch.testing.assert_close(both[name], 0.3 * first[name] + 0.7 * second[name])


def test_dist_rows() -> None:
    assert close(build("dist").terms(*GOLDEN)["dist.inter"], 0.8922014)


def test_dist_correlates_rows_and_columns() -> None:
    random = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(9, 4, dtype=torch.float64, generator=random) for _ in range(2))
    terms = build("dist", beta=2, gamma=3, temperature=4).losses(*logits_batch(student, teacher, [0] * 9))
    p, q = (torch.softmax(logits / 4, dim=1) for logits in (student, teacher))
    rows = torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(p, q, strict=True)])
    columns = torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(p.T, q.T, strict=True)])
    torch.testing.assert_close(terms["dist.inter"], 2 * (1 - rows.mean()))
    torch.testing.assert_close(terms["dist.intra"], 3 * (1 - columns.mean()))


def test_dist_leaves_out_classes_that_few_clips_can_have() -> None:
    outputs, batch = random_batch(10)
    batch["known"] = torch.ones(10, 5, dtype=torch.bool)
    batch["known"][:3, 4] = False  # 7 clips are left: too few to correlate
    term = build("dist").losses(outputs, batch)["dist.intra"]
    torch.autograd.backward(term)
    p, q = (
        torch.softmax(torch.where(batch["known"], logits, -torch.inf), dim=1)
        for logits in (outputs["logits"].detach(), batch["teacher_logits"])
    )
    columns = [torch.corrcoef(torch.stack([p[:, c], q[:, c]]))[0, 1] for c in range(4)]
    torch.testing.assert_close(term.detach(), 1 - torch.stack(columns).mean())
    assert outputs["logits"].grad is not None
    assert not outputs["logits"].grad[:3, 4].any()


@pytest.mark.parametrize("name", LOGIT_METHODS)
def test_an_unknown_class_is_as_if_it_did_not_exist(name: str) -> None:
    outputs, batch = random_batch(9)
    batch["targets"] = torch.nn.functional.one_hot(torch.arange(9) % 4, 5).float()
    batch["known"] = torch.tensor([True] * 4 + [False]).expand(9, 5)
    batch["teacher_logits"][:, 4] = 30.0  # whatever the teacher thinks of it
    masked = build(name).losses(outputs, batch)
    sum(masked.values()).backward()
    dropped = outputs["logits"].detach()[:, :4].requires_grad_()
    columns = {key: batch[key][:, :4] for key in ("targets", "known", "teacher_logits")}
    narrow = build(name).losses({"logits": dropped}, {**batch, **columns})
    sum(narrow.values()).backward()
    torch.testing.assert_close(masked, narrow, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(outputs["logits"].grad[:, :4], dropped.grad, rtol=1e-5, atol=1e-7)
    assert not outputs["logits"].grad[:, 4].any()


@pytest.mark.parametrize("name", LOGIT_METHODS)
@pytest.mark.parametrize("classes", [1, 2])
def test_a_corpus_with_one_or_two_classes(name: str, classes: int) -> None:
    outputs, batch = random_batch(8)
    batch["known"] = torch.arange(5).expand(8, 5) < classes
    batch["targets"] = torch.nn.functional.one_hot(torch.arange(8) % classes, 5).float()
    total = sum(build(name).losses(outputs, batch).values())
    total.backward()
    assert total.isfinite()
    assert outputs["logits"].grad.isfinite().all()


@pytest.mark.parametrize("name", ["ce", "kd", "kd-std", "dkd"])
def test_clip_weights_average_the_clips(name: str) -> None:
    outputs, batch = random_batch(3)
    weights = torch.tensor([2.0, 0.5, 0.0])
    together = build(name).losses(outputs, {**batch, "weights": weights})
    per_clip = ("targets", "known", "teacher_logits", "weights")
    single = [
        build(name).losses({"logits": outputs["logits"][i : i + 1]}, {key: batch[key][i : i + 1] for key in per_clip})
        for i in range(3)
    ]
    for term in together:
        torch.testing.assert_close(together[term], (2.0 * single[0][term] + 0.5 * single[1][term]) / 2.5)


@pytest.mark.parametrize("name", ["kd", "kd-std", "dkd"])
def test_a_student_that_equals_its_teacher_has_nothing_to_learn(name: str) -> None:
    outputs, batch = random_batch(8)
    batch["teacher_logits"] = outputs["logits"].detach().clone()
    total = sum(build(name).losses(outputs, batch).values())
    total.backward()
    assert total.item() == pytest.approx(0.0, abs=1e-6)
    assert outputs["logits"].grad.abs().max() < 1e-6


@pytest.mark.parametrize("name", ["kd-std", "dist"])
def test_equal_logits_give_finite_gradients(name: str) -> None:
    outputs, batch = random_batch(8)
    outputs["logits"] = torch.zeros(8, 5, requires_grad=True)
    sum(build(name).losses(outputs, batch).values()).backward()
    assert outputs["logits"].grad is not None
    assert outputs["logits"].grad.abs().max() < 1e3
