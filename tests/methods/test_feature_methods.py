"""fitnets, at, distilhubert, pooled: what is compared with what, and the standardisation of targets."""

import dataclasses

import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')

from method_batches import LAYERS, STUDENT, TEACHER, WIDTH, connected, random_batch  # noqa: E402

from sercli.methods.alignment import align  # noqa: E402
from sercli.methods.standardise import Standardise  # noqa: E402


def test_distilhubert_floor_of_a_perfect_student() -> None:
    """Prediction = target leaves -log sigmoid(1) of the cosine term."""
    method = connected("distilhubert", layers=[4])
    outputs, batch = random_batch()
    counts = outputs["stages"]["frames"][1]
    frames = align(batch["teacher_frames"], batch["teacher_counts"], counts, 6)[:, :, 1]
    method.hidden, method.heads = torch.nn.Identity(), torch.nn.ModuleList([torch.nn.Identity()])
    terms = method.losses({**outputs, "stages": {"frames": (frames, counts)}}, batch)
    assert terms["distilhubert.l1"].item() == 0.0
    assert terms["distilhubert.cosine"].item() == pytest.approx(0.313262, abs=5e-7)


def test_distilhubert_by_hand() -> None:
    method = connected("distilhubert", layers=[9, 2], stage="early", cosine=0.5, hidden=3)
    outputs, batch = random_batch(4)
    features, counts = outputs["stages"]["early"]
    l1, cosine = [], []
    for clip in range(4):
        n, m = int(counts[clip]), int(batch["teacher_counts"][clip])
        hidden = torch.nn.functional.gelu(method.hidden[0](features[clip, :n]))
        for layer, head in enumerate(method.heads):
            frames = batch["teacher_frames"][clip, :m, LAYERS.index((9, 2)[layer])]
            wanted = torch.nn.functional.interpolate(frames.T[None], n, mode="linear", align_corners=False)[0].T
            found = head(hidden[:, 3 * layer : 3 * layer + 3])
            l1.append((found - wanted).abs().mean())
            turn = torch.nn.functional.cosine_similarity(found, wanted, dim=1)
            cosine.append(-torch.nn.functional.logsigmoid(turn).mean())
    share = batch["weights"].repeat_interleave(2) / (2 * batch["weights"].sum())
    terms = method.losses(outputs, batch)
    torch.testing.assert_close(terms["distilhubert.l1"], (share * torch.stack(l1)).sum())
    torch.testing.assert_close(terms["distilhubert.cosine"], 0.5 * (share * torch.stack(cosine)).sum())


def test_distilhubert_head_is_as_wide_as_the_teacher_unless_told() -> None:
    paper, narrow = connected("distilhubert"), connected("distilhubert", hidden=2)
    assert [head.in_features for head in paper.heads] == [WIDTH] * 3
    assert paper.hidden[0].out_features == 3 * WIDTH
    assert [(head.in_features, head.out_features) for head in narrow.heads] == [(2, WIDTH)] * 3


def test_fitnets_by_hand() -> None:
    method = connected("fitnets", stage="early", layer=2)
    outputs, batch = random_batch(2)
    features, counts = outputs["stages"]["early"]
    frames = align(batch["teacher_frames"][:, :, 0], batch["teacher_counts"], counts, 12)
    squares = (method.regressor(features) - frames).square()
    per_clip = torch.stack([squares[0, :12].mean(), squares[1, :9].mean()])
    expected = 100.0 * (batch["weights"] * per_clip).sum() / batch["weights"].sum()
    torch.testing.assert_close(method.losses(outputs, batch)["fitnets"], expected)


def test_attention_of_equal_frame_rates_by_hand() -> None:
    method = connected("at", stages=["early", "frames"], layers=[9, 4], weight=1)
    outputs, batch = random_batch(1)
    batch["teacher_frames"], batch["teacher_counts"] = batch["teacher_frames"][:, :6], torch.tensor([6])
    outputs["stages"]["early"] = (outputs["stages"]["early"][0][:, :6], torch.tensor([6]))
    expected = torch.zeros(())
    for stage, layer in (("early", 2), ("frames", 1)):
        maps = (outputs["stages"][stage][0][0], batch["teacher_frames"][0, :, layer])
        student, teacher = (frames.square().mean(dim=1) / frames.square().mean(dim=1).norm() for frames in maps)
        expected = expected + (student - teacher).square().mean()
    torch.testing.assert_close(method.losses(outputs, batch)["at"], expected)


def test_attention_does_not_ask_how_loud_the_features_are() -> None:
    outputs, batch = random_batch()
    once = connected("at").losses(outputs, batch)["at"]
    louder = {"frames": (7.0 * outputs["stages"]["frames"][0], outputs["stages"]["frames"][1])}
    torch.testing.assert_close(connected("at").losses({**outputs, "stages": louder}, batch)["at"], once)


def test_the_deepest_layers_are_taken_unless_told() -> None:
    shuffled = dataclasses.replace(TEACHER, layers=(9, 2, 4))
    for name, attribute, expected in (("fitnets", "position", 0), ("rkd", "position", 0), ("sp", "position", 0)):
        method = connected(name)
        method.connect(STUDENT, shuffled)
        assert getattr(method, attribute) == expected
    two = connected("at", stages=["early", "frames"])
    two.connect(STUDENT, shuffled)
    assert two.chosen == [2, 0]
    assert connected("distilhubert").chosen == connected("pooled").chosen == [0, 1, 2]
    assert connected("distilhubert", layers=[9, 4]).chosen == [2, 1]


def test_pooled_with_the_teacher_s_own_figures() -> None:
    mean, std = torch.full((3, WIDTH), 2.0), torch.full((3, WIDTH), 4.0)
    method = connected("pooled", layers=[4, 9])
    method.connect(STUDENT, dataclasses.replace(TEACHER, mean=mean, std=std))
    outputs, batch = random_batch()
    target = (batch["teacher_pooled"][:, 1:] - 2.0) / 4.0
    per_clip = (method.regressor(outputs["embedding"]) - target.flatten(1)).square().mean(dim=1)
    expected = (batch["weights"] * per_clip).sum() / batch["weights"].sum()
    torch.testing.assert_close(method.losses(outputs, batch)["pooled"], expected)
    torch.testing.assert_close(method.losses(outputs, batch)["pooled"], expected)  # and they stay as given


def test_predicting_nothing_costs_one_where_targets_are_standardised() -> None:
    method = connected("pooled")
    torch.nn.init.zeros_(method.regressor.weight)
    torch.nn.init.zeros_(method.regressor.bias)
    outputs, batch = random_batch(64)
    batch["teacher_pooled"] = 50.0 * batch["teacher_pooled"] + 300.0
    batch["weights"] = torch.ones(64)
    assert method.losses(outputs, batch)["pooled"].item() == pytest.approx(1.0, rel=1e-4)


def test_running_figures_are_those_of_all_states_seen() -> None:
    states = 5.0 + 3.0 * torch.randn(70, 2, 4, generator=torch.Generator().manual_seed(0))
    running = Standardise((2, 4))
    for part in states.split([32, 32, 6]):
        running(part)
    torch.testing.assert_close(running.mean, states.mean(dim=0))
    torch.testing.assert_close(running.variance, states.var(dim=0, correction=0))
    assert running.count == 70
    before = running.mean.clone()
    standard = running.eval()(states)
    assert torch.equal(running.mean, before)
    torch.testing.assert_close(standard.mean(dim=0), torch.zeros(2, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(standard.std(dim=0, correction=0), torch.ones(2, 4))


def test_running_figures_of_frames_skip_padding() -> None:
    method = connected("distilhubert", standardise=True)
    outputs, batch = random_batch(padding=3)
    method.losses(outputs, batch)
    counts = outputs["stages"]["frames"][1]
    frames = align(batch["teacher_frames"], batch["teacher_counts"], counts, 9)
    inside = torch.cat([frames[clip, :count] for clip, count in enumerate(counts)])
    for layer, target in enumerate(method.targets):
        assert target.count == counts.sum()
        torch.testing.assert_close(target.mean, inside[:, layer].mean(dim=0))


def test_a_dimension_that_never_changes_is_no_division_by_zero() -> None:
    assert Standardise((1, 2))(torch.ones(3, 1, 2)).abs().max() == 0.0
