import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')

from method_batches import STUDENT, connected, random_batch  # noqa: E402

from sercli.errors import RecipeError  # noqa: E402
from sercli.methods.base import StudentShapes  # noqa: E402


def test_terms_by_hand() -> None:
    method = connected("self", stages=["early", "frames"], temperature=2)
    outputs, batch = random_batch(4)
    batch["known"][:] = True
    ce, kl, mse = [], [], []
    for stage in ("early", "frames"):
        features, counts = outputs["stages"][stage]
        mean = torch.stack([features[clip, :count].mean(dim=0) for clip, count in enumerate(counts)])
        embedding = torch.relu(method.exits[stage].embedding[0](mean))
        logits = method.exits[stage].classifier(embedding)
        ce.append(torch.nn.functional.cross_entropy(logits, batch["targets"], reduction="none"))
        soft = torch.log_softmax(logits / 2, dim=1), torch.log_softmax(outputs["logits"] / 2, dim=1)
        kl.append(4 * torch.nn.functional.kl_div(*soft, reduction="none", log_target=True).sum(dim=1))
        mse.append((embedding - outputs["embedding"]).square().mean(dim=1))
    terms = method.losses(outputs, batch)
    share = batch["weights"] / batch["weights"].sum()
    assert list(terms) == ["self.ce", "self.kl", "self.mse"]
    for found, parts in zip(terms.values(), (ce, kl, mse), strict=True):
        torch.testing.assert_close(found, (share * torch.stack(parts).mean(dim=0)).sum())


def test_the_deepest_layer_is_not_pulled_towards_the_exits() -> None:
    outputs, batch = random_batch()
    sum(connected("self").losses(outputs, batch).values()).backward()
    assert outputs["logits"].grad is None
    assert outputs["embedding"].grad is None
    assert outputs["stages"]["early"][0].grad.abs().max() > 0


def test_every_stage_but_the_deepest_gets_an_exit_unless_told() -> None:
    assert list(connected("self").exits) == ["early"]
    assert list(connected("self", stages=["frames"]).exits) == ["frames"]


def test_needs_a_stage_before_the_deepest() -> None:
    with pytest.raises(RecipeError, match="no stage before its deepest one"):
        connected("self").connect(StudentShapes(STUDENT.classes, STUDENT.embedding, {"frames": 8}), None)
