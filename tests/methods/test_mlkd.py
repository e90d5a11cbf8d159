"""mlkd: the floor of a perfect student, its levels and weights, frames and pooled states."""

import dataclasses
import re

import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')

from method_batches import EMBEDDING, LAYERS, STUDENT, TEACHER, WIDTH, connected, random_batch  # noqa: E402

from sercli.errors import RecipeError  # noqa: E402
from sercli.methods.alignment import align  # noqa: E402

FLOOR = 0.313262  # -log sigmoid(1)


@pytest.mark.parametrize("frames", [True, False])
def test_floor_of_a_perfect_student(frames: bool) -> None:
    """Without noise, with the whole depth and heads that change nothing, each layer costs -log sigmoid(1)."""
    outputs, batch = random_batch()
    counts = outputs["stages"]["frames"][1]
    for number, layer in enumerate(LAYERS):
        method = connected("mlkd", layers=[layer], frames=frames, standardise=False)
        method.hidden, method.heads = torch.nn.Identity(), torch.nn.ModuleList([torch.nn.Identity()])
        same = align(batch["teacher_frames"][:, :, number], batch["teacher_counts"], counts, 6)
        perfect = {"stages": {"frames": (same, counts)}, "embedding": batch["teacher_pooled"][:, number]}
        terms = method.losses({**outputs, **perfect}, batch)
        assert terms["mlkd.l1"].item() == 0.0
        assert terms["mlkd.cosine"].item() == pytest.approx(FLOOR, abs=5e-7)


def test_without_its_own_keys_it_is_distilhubert() -> None:
    plain = connected("mlkd", standardise=False).losses(*random_batch())
    paper = connected("distilhubert").losses(*random_batch())
    assert [value.item() for value in plain.values()] == pytest.approx([value.item() for value in paper.values()])


def test_layer_weights_are_relative() -> None:
    single = [connected("mlkd", layers=[4], frames=False), connected("mlkd", layers=[9], frames=False)]
    both = connected("mlkd", layers=[4, 9], layer_weights=[3, 1], frames=False)
    for number, method in enumerate(single):  # the same heads
        rows = slice(WIDTH * number, WIDTH * (number + 1))
        method.hidden[0].weight.data = both.hidden[0].weight.data[rows].clone()
        method.hidden[0].bias.data = both.hidden[0].bias.data[rows].clone()
        method.heads[0].load_state_dict(both.heads[number].state_dict())
    outputs, batch = random_batch()
    first, second = (method.losses(outputs, batch) for method in single)
    for term, value in both.losses(outputs, batch).items():
        torch.testing.assert_close(value, 0.75 * first[term] + 0.25 * second[term])


def test_pooled_states_by_hand() -> None:
    method = connected("mlkd", frames=False, standardise=False, cosine=0.5, hidden=3, weight=2.0)
    outputs, batch = random_batch()
    parts = torch.nn.functional.gelu(method.hidden[0](outputs["embedding"])).chunk(3, dim=1)
    found = torch.stack([head(part) for head, part in zip(method.heads, parts, strict=True)], dim=1)
    l1 = (found - batch["teacher_pooled"]).abs().mean(dim=(1, 2))
    turn = torch.nn.functional.cosine_similarity(found, batch["teacher_pooled"], dim=2)
    cosine = -torch.nn.functional.logsigmoid(turn).mean(dim=1)
    share = batch["weights"] / batch["weights"].sum()
    terms = method.losses(outputs, batch)
    torch.testing.assert_close(terms["mlkd.l1"], 2.0 * (share * l1).sum())
    torch.testing.assert_close(terms["mlkd.cosine"], (share * cosine).sum())


def test_frames_or_pooled_states_are_asked_for() -> None:
    frames, pooled = connected("mlkd"), connected("mlkd", frames=False)
    assert (frames.needs, pooled.needs) == ({"frames"}, {"pooled"})
    assert (frames.hidden[0].in_features, pooled.hidden[0].in_features) == (STUDENT.stages["frames"], EMBEDDING)


@pytest.mark.parametrize(
    ("given", "chosen"), [(range(1, 13), (4, 8, 12)), (range(1, 7), (2, 4, 6)), ((3, 4, 5, 6), (4, 5, 6)), ((7,), (7,))]
)
def test_levels_are_a_third_two_thirds_and_all_of_the_depth(given: tuple[int, ...], chosen: tuple[int, ...]) -> None:
    method = connected("mlkd")
    method.layers = ()
    method.connect(STUDENT, dataclasses.replace(TEACHER, layers=tuple(given)))
    assert method.layers == chosen


def test_a_weight_for_every_layer() -> None:
    message = "method.mlkd.layer_weights: must be one for each of 3 layers, not [1.0, 2.0]"
    with pytest.raises(RecipeError, match=f"^{re.escape(message)}$"):
        connected("mlkd", layer_weights=[1, 2])
