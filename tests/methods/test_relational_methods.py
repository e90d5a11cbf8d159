"""rkd and sp: relations between the clips of a batch."""

import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')

from method_batches import connected, random_batch  # noqa: E402

RELATIONAL = ["rkd", "sp"]


def points(student: list[list[float]], teacher: list[list[float]]) -> tuple[dict[str, object], dict[str, torch.Tensor]]:
    pooled = torch.zeros(len(teacher), 3, len(teacher[0]), dtype=torch.float64)
    pooled[:, 2] = torch.tensor(teacher, dtype=torch.float64)  # the deepest layer
    embedding = torch.tensor(student, dtype=torch.float64)
    return {"embedding": embedding}, {"teacher_pooled": pooled, "weights": torch.ones(len(student))}


def test_rkd() -> None:
    outputs, batch = points([[0, 0], [1, 0], [0, 2]], [[0, 0], [2, 0], [0, 1]])
    terms = connected("rkd", distance=1, angle=1).losses(outputs, batch)
    assert terms["rkd.distance"].item() == pytest.approx(0.0729490, abs=5e-8)
    assert terms["rkd.angle"].item() == pytest.approx(0.0148148, abs=5e-8)
    weighted = connected("rkd").losses(outputs, batch)
    torch.testing.assert_close(weighted["rkd.distance"], 25 * terms["rkd.distance"])
    torch.testing.assert_close(weighted["rkd.angle"], 50 * terms["rkd.angle"])


def test_sp() -> None:
    outputs, batch = points([[1, 0], [1, 1], [0, 2]], [[1, 0.2], [0.5, 1], [0, 1]])
    assert connected("sp", weight=1).losses(outputs, batch)["sp"].item() == pytest.approx(0.0220853, abs=5e-8)


@pytest.mark.parametrize("name", RELATIONAL)
def test_a_turned_and_scaled_teacher_has_the_same_relations(name: str) -> None:
    outputs, batch = random_batch()
    turn, _ = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(1)))
    batch["teacher_pooled"] = 3.0 * (outputs["embedding"].detach() @ turn)[:, None].expand(-1, 3, -1)
    assert sum(connected(name, weight=1).losses(outputs, batch).values()).item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("name", RELATIONAL)
def test_one_clip_twice_and_a_silent_one_give_finite_gradients(name: str) -> None:
    outputs, batch = random_batch()
    embedding = outputs["embedding"].detach()
    embedding[1], embedding[2] = embedding[0], 0.0
    outputs["embedding"] = embedding.requires_grad_()
    sum(connected(name).losses(outputs, batch).values()).backward()
    assert embedding.grad is not None
    assert embedding.grad.abs().max() < 1e4


def test_layers_are_chosen_by_their_number() -> None:
    outputs, batch = random_batch()
    moved = {**batch, "teacher_pooled": batch["teacher_pooled"].roll(1, dims=1)}  # layer 2 now stands where 4 was
    for name in RELATIONAL:
        torch.testing.assert_close(
            connected(name, layer=2).losses(outputs, batch), connected(name, layer=4).losses(outputs, moved)
        )
