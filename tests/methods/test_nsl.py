"""nsl: the figure of the paper's formula, what weighs nothing, layers and distances."""

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')

from method_batches import connected, random_batch  # noqa: E402


def example(scale: float = 1.0, zero: float = 0.5) -> tuple[Any, Any]:
    """A clip f = (1, 0, 1) with neighbours (1, 1, 0) of weight 0.995 and (1, 0, zero) of weight 0."""
    own = scale * torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64)
    others = scale * torch.tensor([[[1.0, 1.0, 0.0], [1.0, 0.0, zero]]], dtype=torch.float64)
    outputs = {
        "logits": own,
        "embedding": own.requires_grad_(),
        "neighbours": {"embedding": others.requires_grad_(), "logits": 0 * others},
    }
    edges = torch.tensor([[0.995, 0.0]], dtype=torch.float64)
    return outputs, {"weights": torch.ones(1), "edge_weights": edges}


def regularisation(outputs: Any, batch: Any, **arguments: Any) -> torch.Tensor:
    (term,) = connected("nsl", multiplier=1, **arguments).losses(outputs, batch).values()
    return term


def test_golden_value() -> None:
    assert regularisation(*example()).item() == pytest.approx(0.4975, abs=1e-12)
    assert connected("nsl").losses(*example())["nsl"].item() == pytest.approx(0.04975, abs=1e-12)


@pytest.mark.parametrize("scale", [1e-3, 7.0, 1e4])
def test_cosine_does_not_depend_on_the_scale_of_features(scale: float) -> None:
    assert regularisation(*example(scale)).item() == pytest.approx(0.4975, abs=1e-12)


def test_neighbours_of_weight_zero_count_nothing() -> None:
    outputs, batch = example(zero=-900.0)
    term = regularisation(outputs, batch)
    term.backward()
    assert term.item() == pytest.approx(0.4975, abs=1e-12)
    assert not outputs["neighbours"]["embedding"].grad[0, 1].any()


def test_gradients_reach_both_sides() -> None:
    outputs, batch = example()
    regularisation(outputs, batch).backward()
    assert outputs["embedding"].grad.any()
    assert outputs["neighbours"]["embedding"].grad[0, 0].any()


def test_clips_without_neighbours_cost_nothing() -> None:
    outputs, batch = random_batch()
    batch["edge_weights"] = torch.zeros_like(batch["edge_weights"])
    assert regularisation(outputs, batch).item() == 0.0


def test_mean_is_over_edges_and_not_over_clips() -> None:
    outputs, batch = random_batch()
    batch["edge_weights"][:, 1] = 0
    batch["edge_weights"][3:] = 0
    near = torch.nn.functional.cosine_similarity(outputs["logits"][:3], outputs["neighbours"]["logits"][:3, 0])
    expected = (batch["edge_weights"][:3, 0] * (1 - near)).sum() / 3
    torch.testing.assert_close(regularisation(outputs, batch, target_layer="logits"), expected)


def test_l2_is_the_mean_over_dimensions() -> None:
    assert regularisation(*example(), distance="l2").item() == pytest.approx(0.995 * 2 / 3)


@pytest.mark.parametrize(("paper", "ours"), [("fc1", "embedding"), ("fc2", "logits")])
def test_names_of_the_paper(paper: str, ours: str) -> None:
    batch = random_batch()
    assert regularisation(*batch, target_layer=paper) == regularisation(*batch, target_layer=ours)
    assert regularisation(*batch, target_layer="fc1") != regularisation(*batch, target_layer="fc2")
