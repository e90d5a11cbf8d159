"""AM-Softmax by hand, and as the scaled cosine softmax that it is without a margin."""

import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')

from method_batches import logits_batch  # noqa: E402

from sercli.errors import RecipeError  # noqa: E402
from sercli.methods.am_softmax import AdditiveMarginSoftmax  # noqa: E402
from sercli.methods.base import StudentShapes  # noqa: E402
from sercli.models.heads import CosineClassifier, HeadArguments, TeacherHead  # noqa: E402

COSINES = torch.tensor([[0.8, 0.1, -0.3], [0.1, 0.5, 0.2]], dtype=torch.float64)
SCALE = 4.0


def loss(margin: float, labels: list[int]) -> float:
    method = AdditiveMarginSoftmax(margin)
    method.connect(StudentShapes(3, 0, {}, scale=SCALE), None)
    found = method.losses(*logits_batch(SCALE * COSINES, torch.zeros(2, 3), labels))
    assert set(found) == {"am-softmax"}
    return found["am-softmax"].item()


def test_by_hand() -> None:
    # s (cos_y - m) - s cos_j: 2.4 - 0.4 and 2.4 + 1.2 of the first clip; 0 - 0.4 and 0 - 2 of the second
    first, second = 0.15070972, 2.29060165  # log(1 + exp(-2) + exp(-3.6)), log(1 + exp(0.4) + exp(2))
    assert loss(0.2, [0, 2]) == pytest.approx((first + second) / 2, abs=1e-7)


def test_without_margin_it_is_the_scaled_cosine_softmax() -> None:
    torch.manual_seed(0)
    classifier, features = CosineClassifier(6, 3, SCALE).double(), torch.randn(2, 6, dtype=torch.float64)
    logits = classifier(features)
    cosines = torch.cosine_similarity(features[:, None], classifier.weight[None], dim=2)
    torch.testing.assert_close(logits, SCALE * cosines)
    method = AdditiveMarginSoftmax(0.0)
    method.connect(StudentShapes(3, 0, {}, scale=SCALE), None)
    found = method.losses(*logits_batch(logits, torch.zeros(2, 3), [1, 0]))["am-softmax"]
    torch.testing.assert_close(found, torch.nn.functional.cross_entropy(SCALE * cosines, torch.tensor([1, 0])))


def test_the_margin_is_asked_of_the_right_class_alone() -> None:
    assert loss(0.2, [0, 1]) > loss(0.1, [0, 1]) > loss(0.0, [0, 1])


def test_a_classifier_of_no_cosines_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"method\.am-softmax: needs a classifier of cosines; set head\.scale"):
        AdditiveMarginSoftmax().connect(StudentShapes(3, 0, {}), None)
    with pytest.raises(RecipeError, match=r"method\.am-softmax\.margin: must be from 0 to below 2"):
        AdditiveMarginSoftmax(2.0)


def test_a_head_of_cosines_does_not_hear_how_loud_a_clip_is() -> None:
    head = TeacherHead(HeadArguments(hidden=0, scale=SCALE), 1, 5, 3).eval()
    pooled = torch.randn(4, 1, 5)
    one, other = (head.forward_pooled(factor * pooled)["logits"] for factor in (1.0, 7.0))
    torch.testing.assert_close(one, other)
    assert one.abs().max() <= SCALE
