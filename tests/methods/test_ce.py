import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')

from sercli.errors import RecipeError  # noqa: E402
from sercli.methods import METHODS, build_methods  # noqa: E402
from sercli.methods.ce import CrossEntropy  # noqa: E402


def batch(known: torch.Tensor | None = None, weights: list[float] | None = None) -> dict[str, torch.Tensor]:
    labels = torch.tensor([0, 2, 1, 2])
    return {
        "targets": torch.nn.functional.one_hot(labels, 4).float(),
        "labels": labels,
        "known": torch.ones(4, 4, dtype=torch.bool) if known is None else known,
        "weights": torch.tensor(weights or [1.0] * 4),
    }


def logits() -> torch.Tensor:
    return torch.randn(4, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3])
def test_equals_torch_where_every_class_is_known(smoothing: float) -> None:
    scores, items = logits(), batch()
    loss = CrossEntropy(label_smoothing=smoothing).losses({"logits": scores}, items)
    expected = torch.nn.functional.cross_entropy(scores, items["labels"], label_smoothing=smoothing)
    assert list(loss) == ["ce"]
    torch.testing.assert_close(loss["ce"], expected)


def test_soft_targets_equal_torch() -> None:
    scores, items = logits(), batch()
    items["targets"] = 0.7 * items["targets"] + 0.3 * items["targets"].flip(0)
    loss = CrossEntropy(label_smoothing=0.0).losses({"logits": scores}, items)["ce"]
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(scores, items["targets"]))


def test_a_class_the_corpus_lacks_gets_no_gradient_and_no_probability() -> None:
    known = torch.ones(4, 4, dtype=torch.bool)
    known[:, 3] = False
    scores = logits()
    loss = CrossEntropy(label_smoothing=0.1).losses({"logits": scores}, batch(known))["ce"]
    loss.backward()
    assert scores.grad is not None
    assert not scores.grad[:, 3].any()
    assert scores.grad[:, :3].abs().min() > 0
    expected = torch.nn.functional.cross_entropy(scores[:, :3], batch()["labels"], label_smoothing=0.1)
    torch.testing.assert_close(loss, expected)


def test_within_corpus_can_be_switched_off() -> None:
    known = torch.ones(4, 4, dtype=torch.bool)
    known[:, 3] = False
    scores = logits()
    loss = CrossEntropy(within_corpus=False).losses({"logits": scores}, batch(known))["ce"]
    torch.testing.assert_close(loss, CrossEntropy().losses({"logits": scores}, batch())["ce"])


def test_weights_are_a_weighted_mean() -> None:
    scores = logits()
    single = torch.nn.functional.cross_entropy(scores, batch()["labels"], reduction="none")
    loss = CrossEntropy(label_smoothing=0.0).losses({"logits": scores}, batch(weights=[2.0, 0.0, 1.0, 1.0]))["ce"]
    torch.testing.assert_close(loss, (2 * single[0] + single[2] + single[3]) / 4)


def test_the_whole_term_has_a_factor() -> None:
    scores = logits()
    once, thrice = (CrossEntropy(weight=w).losses({"logits": scores}, batch())["ce"] for w in (1.0, 3.0))
    torch.testing.assert_close(thrice, 3.0 * once)


def test_a_clip_without_a_label_counts_nothing() -> None:
    scores, labelled = logits(), batch()
    blind = torch.cat([labelled["targets"][:1], torch.zeros_like(labelled["targets"][1:])])
    term = CrossEntropy(label_smoothing=0.1).losses({"logits": scores}, {**labelled, "targets": blind})["ce"]
    (gradient,) = torch.autograd.grad(term, scores)
    assert float(term.detach()) > 0.0
    assert gradient[0].any()
    assert not gradient[1:].any()


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, f"method: name at least one of {', '.join(METHODS)}"),
        ({"cee": {}}, "method.cee: no such method; did you mean ce?"),
        ({"kdx": {}}, "method.kdx: no such method; did you mean kd?"),
        ({"zzz": {}}, f"method.zzz: no such method; known: {', '.join(METHODS)}"),
        ({"ce": {"smoothing": 0.1}}, "unknown recipe key method.ce.smoothing; did you mean method.ce.label_smoothing?"),
        ({"ce": {"label_smoothing": "much"}}, "method.ce.label_smoothing: needs a value of type float, not 'much'"),
        ({"ce": {"within_corpus": 1}}, "method.ce.within_corpus: needs a value of type bool, not 1"),
        ({"ce": 3}, "method.ce: needs a mapping of its arguments to values, not 3"),
    ],
)
def test_wrong_recipe_arguments(parts: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        build_methods(parts)
    assert str(caught.value) == message


def test_methods_are_built_with_their_arguments() -> None:
    ((name, method),) = build_methods({"ce": {"label_smoothing": 0, "weight": 2.0}})
    assert isinstance(method, CrossEntropy)
    assert (name, method.label_smoothing, method.weight, method.within_corpus) == ("ce", 0, 2.0, True)
