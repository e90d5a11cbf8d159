"""What holds for every method: teacher frozen, padding unseen, half precision, small batches, factor and warm-up."""

import dataclasses
import re
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')

from method_batches import STUDENT, TEACHER, connected, random_batch  # noqa: E402

from sercli.errors import RecipeError  # noqa: E402
from sercli.methods import METHODS, build_methods, check_batch  # noqa: E402

NAMES = list(METHODS)
DISTILLATION = [name for name, method in METHODS.items() if method.needs]
OF_STATES = [name for name, method in METHODS.items() if method.needs - {"logits", "dimensions"}]
FACTOR = {name: "multiplier" if name == "nsl" else "weight" for name in NAMES}
RELATIONAL = {"dist": 8, "rkd": 3, "sp": 3, "ccc": 8}


def total(name: str, batch: tuple[Any, Any], **arguments: Any) -> torch.Tensor:
    return torch.stack(list(connected(name, **arguments).losses(*batch).values())).sum()


def leaves(outputs: dict[str, Any]) -> list[torch.Tensor]:
    return [
        outputs["logits"],
        outputs["exits"],
        outputs["embedding"],
        outputs["dimensions"],
        *outputs["neighbours"].values(),
        *(features for features, _ in outputs["stages"].values()),
    ]


def test_names_are_those_of_the_recipes() -> None:
    known = "ce kd kd-std dkd dist fitnets at rkd sp distilhubert mlkd pooled self dkdfmh nsl am-softmax "
    known += "audio-text ccc"
    assert known.split() == NAMES
    assert all(METHODS[name].name == name for name in NAMES)
    torch.nn.ModuleDict({name: connected(name) for name in NAMES})  # each may be the name of a module


@pytest.mark.parametrize("name", NAMES)
def test_terms_are_named_after_the_method_and_finite_scalars(name: str) -> None:
    terms = connected(name).losses(*random_batch())
    assert terms
    for term, value in terms.items():
        assert term.partition(".")[0] == name
        assert value.shape == ()
        assert value.isfinite()
        assert value > 0


@pytest.mark.parametrize("name", DISTILLATION)
def test_no_gradient_reaches_the_teacher(name: str) -> None:
    outputs, batch = random_batch()
    teacher = [batch[f"teacher_{kind}"].requires_grad_() for kind in ("logits", "dimensions", "pooled", "frames")]
    total(name, (outputs, batch)).backward()
    assert all(value.grad is None for value in teacher)
    assert any(value.grad is not None and value.grad.any() for value in leaves(outputs))


@pytest.mark.parametrize("name", NAMES)
def test_descent_makes_the_loss_smaller(name: str) -> None:
    method = connected(name, warmup=0)
    outputs, batch = random_batch()
    values = [*leaves(outputs), *method.parameters()]
    losses = []
    for _ in range(40):
        loss = torch.stack(list(method.losses(outputs, batch).values())).sum()
        gradients = torch.autograd.grad(loss, values, allow_unused=True)
        losses.append(loss.item())
        with torch.no_grad():
            for value, gradient in zip(values, gradients, strict=True):
                if gradient is not None:
                    value -= 0.01 * gradient.sign()
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("name", NAMES)
def test_padding_is_never_seen(name: str) -> None:
    short, long = random_batch(padding=0), random_batch(padding=5)
    torch.testing.assert_close(total(name, long), total(name, short))
    for batch in (short, long):
        total(name, batch).backward()
    for stage, (features, counts) in short[0]["stages"].items():
        if features.grad is not None:
            wide = long[0]["stages"][stage][0].grad
            assert not wide[:, features.shape[1] :].any()
            inside = torch.arange(features.shape[1])[None, :] < counts[:, None]
            assert not features.grad[~inside].any()
            torch.testing.assert_close(wide[:, : features.shape[1]], features.grad)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_half_precision_agrees(name: str, dtype: torch.dtype) -> None:
    def half(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: half(item) for key, item in value.items()}
        if isinstance(value, tuple):
            return tuple(half(item) for item in value)
        return value.to(dtype) if value.is_floating_point() else value

    outputs, batch = random_batch()
    exact = connected(name).losses(outputs, batch)
    found = connected(name).losses(half(outputs), half(batch))
    torch.testing.assert_close(found, exact, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("name", NAMES)
def test_one_clip_is_trained_on_or_refused(name: str) -> None:
    methods = build_methods({name: {}})
    outputs, batch = random_batch(1)
    loss = total(name, (outputs, batch))
    loss.backward()
    for value in leaves(outputs):
        assert value.grad is None or value.grad.isfinite().all()
    if name in RELATIONAL:
        with pytest.raises(RecipeError, match=rf"^optim\.batch: method\.{name} .* needs {RELATIONAL[name]} or more"):
            check_batch(methods, 1)
        assert loss == 0.0  # the rest of an epoch
    else:
        check_batch(methods, 1)
        assert loss > 0.0


@pytest.mark.parametrize(("name", "smallest"), RELATIONAL.items())
def test_smallest_batch_of_a_relational_method(name: str, smallest: int) -> None:
    methods = build_methods({"ce": {}, name: {}})
    check_batch(methods, smallest)
    with pytest.raises(RecipeError, match=f"not {smallest - 1}$"):
        check_batch(methods, smallest - 1)
    assert total(name, random_batch(smallest)) > 0.0
    assert total(name, random_batch(smallest - 1)) == 0.0


@pytest.mark.parametrize("name", NAMES)
def test_factor_and_warm_up(name: str) -> None:
    outputs, batch = random_batch()
    one, three = {FACTOR[name]: 1}, {FACTOR[name]: 3}
    full = total(name, (outputs, batch), **one, warmup=0)
    torch.testing.assert_close(total(name, (outputs, batch), **three, warmup=0), 3 * full)
    for epoch, share in ((0.0, 0.0), (1.0, 0.25), (2.5, 0.625), (4.0, 1.0), (9.0, 1.0)):
        batch["epoch"] = torch.tensor(epoch)
        torch.testing.assert_close(total(name, (outputs, batch), **one, warmup=4), share * full)


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_loss(name: str) -> None:
    assert total(name, random_batch()) == total(name, random_batch())


@pytest.mark.parametrize("name", NAMES)
def test_weights_below_zero_and_unknown_arguments_are_refused(name: str) -> None:
    key = FACTOR[name]
    with pytest.raises(RecipeError, match=rf"^method\.{name}\.{key}: must be 0 or above, not -1"):
        build_methods({name: {key: -1}})
    wrong = key[0] + key[2] + key[1] + key[3:]
    with pytest.raises(
        RecipeError, match=rf"^unknown recipe key method\.{name}\.{wrong}; did you mean method\.{name}\."
    ):
        build_methods({name: {wrong: 1}})


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"kd": {"temperature": 0}}, "method.kd.temperature: must be above 0, not 0.0"),
        ({"kd": {"warmup": -1}}, "method.kd.warmup: must be 0 or above, in epochs, not -1.0"),
        ({"kd-std": {"temperature": -2}}, "method.kd-std.temperature: must be above 0, not -2.0"),
        ({"distilhubert": {"layers": 4}}, "method.distilhubert.layers: needs a list, not 4"),
        (
            {"distilhubert": {"layers": [4, "six"]}},
            "method.distilhubert.layers[1]: needs a value of type int, not 'six'",
        ),
        ({"distilhubert": {"hidden": -1}}, "method.distilhubert.hidden: must be 0 or above, not -1"),
        (
            {"mlkd": {"layer_weights": [1, -1]}},
            "method.mlkd.layer_weights: must be 0 or above, and not all 0, not [1.0, -1.0]",
        ),
        ({"fitnets": {"layer": "last"}}, "method.fitnets.layer: needs a value of type int, not 'last'"),
        ({"at": {"layers": [4, 9]}}, "method.at.layers: must be as many as stages, not [4, 9]"),
        ({"at": {"stages": []}}, "method.at.stages: must be at least one, not []"),
        ({"at": {"p": 0.5}}, "method.at.p: must be at least 1, not 0.5"),
        (
            {"nsl": {"target_layer": "fc3"}},
            "method.nsl.target_layer: must be one of embedding, logits, fc1, fc2, not 'fc3'",
        ),
        ({"nsl": {"distance": "l1"}}, "method.nsl.distance: must be one of cosine, l2, not 'l1'"),
        ({"distill-hubert": {}}, "method.distill-hubert: no such method; did you mean distilhubert?"),
    ],
)
def test_wrong_arguments(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=f"^{re.escape(message)}$"):
        build_methods(parts)


def test_numbers_as_people_write_them() -> None:
    ((_, method),) = build_methods({"kd": {"weight": "1e-3", "warmup": 2}})
    assert (method.weight, method.warmup) == (1e-3, 2.0)


@pytest.mark.parametrize("name", DISTILLATION)
def test_a_missing_teacher_is_named(name: str) -> None:
    with pytest.raises(RecipeError, match=rf"^method\.{name}: needs a teacher"):
        connected(name).connect(STUDENT, None)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in DISTILLATION])
def test_methods_without_a_teacher_ask_for_none(name: str) -> None:
    connected(name).connect(STUDENT, None)


@pytest.mark.parametrize("name", OF_STATES)
def test_a_teacher_without_logits_does_for_states_and_one_without_layers_does_not(name: str) -> None:
    connected(name).connect(STUDENT, dataclasses.replace(TEACHER, classes=0))
    with pytest.raises(RecipeError, match=rf"^method\.{name}: the teacher gives no layers"):
        connected(name).connect(STUDENT, dataclasses.replace(TEACHER, layers=()))


@pytest.mark.parametrize("name", [name for name in DISTILLATION if METHODS[name].needs == {"logits"}])
def test_label_sets_must_be_the_same(name: str) -> None:
    with pytest.raises(RecipeError, match=rf"^method\.{name}: the teacher has 4 classes and the student 5;"):
        connected(name).connect(STUDENT, dataclasses.replace(TEACHER, classes=4))


@pytest.mark.parametrize("name", OF_STATES)
def test_a_layer_that_the_teacher_does_not_give(name: str) -> None:
    arguments = {"layer": 3} if name in ("fitnets", "rkd", "sp") else {"layers": [3]}
    with pytest.raises(RecipeError, match=rf"^method\.{name}: the teacher gives no layer 3; it gives 2, 4, 9$"):
        connected(name, **arguments)


@pytest.mark.parametrize("name", ["fitnets", "at", "distilhubert", "mlkd", "self"])
def test_a_stage_that_the_student_does_not_have(name: str) -> None:
    arguments: dict[str, Any] = {"stages": ["erly"]} if name in ("at", "self") else {"stage": "erly"}
    with pytest.raises(RecipeError, match=rf"^method\.{name}: the student has no stage 'erly'; did you mean early\?$"):
        connected(name, **arguments)


def test_more_stages_than_layers() -> None:
    message = r"^method\.at\.stages: must be no more than the teacher's layers"
    with pytest.raises(RecipeError, match=message):
        connected("at", stages=["early", "frames"]).connect(STUDENT, dataclasses.replace(TEACHER, layers=(2,)))
