import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')

from sercli.models.heads import HeadArguments, LayerMix, TeacherHead, pool_states  # noqa: E402

LAYERS, FRAMES, WIDTH = 4, 9, 6


def states(seed: int = 0) -> torch.Tensor:
    return torch.randn(3, LAYERS, FRAMES, WIDTH, generator=torch.Generator().manual_seed(seed))


COUNTS = torch.tensor([9, 5, 1])


def head(pooling: str, hidden: int = 8) -> TeacherHead:
    torch.manual_seed(0)
    model = TeacherHead(HeadArguments(pooling, hidden, attention=4), LAYERS, WIDTH, 7, ("gender", "dimensions"))
    with torch.no_grad():
        model.mix.scores.copy_(torch.tensor([0.5, -1.0, 2.0, 0.0]))
        model.train()(states(1), COUNTS)  # batch norms have seen something
    return model.eval()


def test_layer_weights_sum_to_one_and_start_even() -> None:
    mix = LayerMix(5)
    assert torch.allclose(mix.weights, torch.full((5,), 0.2))
    with torch.no_grad():
        mix.scores[3] = 50.0
    layered = torch.arange(5.0)[None, :, None].expand(2, 5, 3)
    assert torch.allclose(mix(layered), torch.full((2, 3), 3.0))


@pytest.mark.parametrize("pooling", ["mean", "statistics", "attentive"])
@pytest.mark.parametrize("hidden", [8, 0])
def test_shapes_and_padding(pooling: str, hidden: int) -> None:
    model = head(pooling, hidden)
    with torch.no_grad():
        found = model(states(), COUNTS)
        assert {name: tuple(value.shape) for name, value in found.items() if name != "embedding"} == {
            "logits": (3, 7),
            "gender": (3, 2),
            "dimensions": (3, 3),
        }
        longer = torch.cat([states(), torch.randn(3, LAYERS, 4, WIDTH)], dim=2)
        assert torch.allclose(model(longer, COUNTS)["logits"], found["logits"], atol=1e-5), "padding is never heard"
        alone = model(states()[1:2, :, :5], torch.tensor([5]))["logits"]
        assert torch.allclose(alone, found["logits"][1:2], atol=1e-5), "nor the neighbours of a batch"


@pytest.mark.parametrize("pooling", ["mean", "statistics"])
def test_what_the_cache_holds_gives_the_same_answer(pooling: str) -> None:
    model = head(pooling)
    with torch.no_grad():
        pooled = pool_states(states(), COUNTS, pooling)
        assert torch.allclose(model.forward_pooled(pooled)["logits"], model(states(), COUNTS)["logits"], atol=1e-6)


def test_pooled_statistics_by_hand() -> None:
    frames = torch.tensor([1.0, 3.0, 100.0])[None, None, :, None]
    pooled = pool_states(frames, torch.tensor([2]), "statistics")
    assert torch.allclose(pooled, torch.tensor([[[2.0, 1.0]]]), atol=1e-5)
