"""Clusters of frames: by hand, of training speakers alone, aligned with the frames they number."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')

from sercli.corpora.splits import Split  # noqa: E402
from sercli.corpora.table import Utterance  # noqa: E402
from sercli.errors import BundleError, CorpusError, LeakError  # noqa: E402
from sercli.evaluation.cluster_report import describe, draw_clusters  # noqa: E402
from sercli.models.teacher import mask_runs  # noqa: E402
from sercli.training.clusters import (  # noqa: E402
    Clustering,
    check_fitted,
    fit_clusters,
    kept_features,
    load_clusters,
    save_clusters,
)
from sercli.training.data import Draw  # noqa: E402
from sercli.training.lessons import Lessons  # noqa: E402
from sercli.training.pseudo_learner import NO_FRAME, LabelledFrames, LabellerLearner, collate_frames  # noqa: E402
from sercli.training.recipe import AugmentPart  # noqa: E402
from sercli.training.store import AudioStore  # noqa: E402

HOP = 320  # samples, 20 ms


def of(speaker: str, emotion: str = "happy", gender: str = "f", text: str = "") -> Utterance:
    return Utterance(path=f"{speaker}.wav", corpus="c", speaker=speaker, gender=gender, emotion=emotion, text=text)


def groups(frames: int = 300, seed: int = 0) -> tuple[Any, Any]:
    """Frames around three points, whose first dimension is a hundred times the second; and which point each is of."""
    random = np.random.default_rng(seed)
    point = random.integers(3, size=frames)
    places = np.array([[0.0, 0.0], [400.0, 0.0], [0.0, 4.0]])
    return (places[point] + random.normal(0.0, [10.0, 0.1], (frames, 2))).astype(np.float16), point


def test_clusters_find_the_groups_of_standardised_frames(tmp_path: Path) -> None:
    states, point = groups()
    with kept_features(tmp_path, ({4: states[start : start + 100]} for start in range(0, 300, 100))) as features:
        assert features[4].shape == (300, 2)
        (found,) = fit_clusters(features, [(4, 3)], seed=0)
    assert not list(tmp_path.iterdir()), "the frames are not kept"
    numbers = found.numbers(states)
    assert len({*zip(point.tolist(), numbers.tolist(), strict=True)}) == 3, "one cluster for each group"
    np.testing.assert_allclose(found.mean, states.astype(np.float64).mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(found.deviation, states.astype(np.float64).std(axis=0), rtol=1e-3)

    save_clusters([found], tmp_path / "clusters.safetensors")
    (again,) = load_clusters(tmp_path / "clusters.safetensors")
    assert (again.name, again.scale) == ("4x3", (4, 3))
    np.testing.assert_array_equal(again.centres, found.centres)
    with pytest.raises(BundleError, match="cannot read the clusters"):
        load_clusters(tmp_path / "nothing.safetensors")


def test_the_nearest_centre_by_hand() -> None:
    clustering = Clustering(1, *(np.array(v, np.float32) for v in ([1, 10], [2, 5], [[0, 0], [1, 0], [0, -2]])))
    # standardised: (0, 0), (1, 0.2), (0.2, -1.8)
    assert clustering.numbers(np.array([[1, 10], [3, 11], [1.4, 1]], np.float32)).tolist() == [0, 1, 2]


def test_more_clusters_than_frames_are_refused() -> None:
    with pytest.raises(CorpusError, match="5 training frames cannot make 6 clusters; lower k of layer 2"):
        fit_clusters({2: np.zeros((5, 2), np.float16)}, [(2, 6)], 0)


def test_no_test_speaker_is_among_those_clustered() -> None:
    split = Split([of("1"), of("2")], [of("3")], [of("4")])
    check_fitted(split.train, split, transductive=False)
    for held_out in ("3", "4"):
        with pytest.raises(LeakError, match=f"clusters: would be fitted to c/{held_out}, whom this run holds out"):
            check_fitted([*split.train, of(held_out)], split, transductive=False)
    check_fitted([*split.train, *split.test], split, transductive=True)
    with pytest.raises(LeakError, match="c/3"):
        check_fitted([*split.train, *split.dev], split, transductive=True)


@pytest.mark.parametrize("audio", [True, False])
def test_labels_are_of_the_frames_that_are_heard(audio: bool) -> None:
    """Each frame is filled with its own number, so a clip cut anywhere must begin with its first label."""
    counts = [60, 35]
    numbers = [np.stack([np.arange(count), 100 + np.arange(count)], axis=1).astype(np.int32) for count in counts]
    samples = np.concatenate([np.repeat(np.arange(count), HOP) for count in counts]).astype(np.int16)
    store = AudioStore(samples, np.cumsum([0, *(HOP * count for count in counts)]))
    states = [np.repeat(np.arange(count), 3).reshape(count, 1, 3).astype(np.float16) for count in counts]
    source = store if audio else Lessons(frames=states.__getitem__)
    clips = LabelledFrames(source, numbers, 50.0, AugmentPart(max_seconds=0.5, trim_seconds=0.3))
    items = [clips[Draw(clip, (clip, draw))] for clip in (0, 1) for draw in range(10)]
    firsts = set()
    for item in items:
        heard = item["waveform"][::HOP] if audio else item["states"][:, 0]
        np.testing.assert_array_equal(heard, item["numbers"][:, 0])
        np.testing.assert_array_equal(heard + 100, item["numbers"][:, 1])
        assert 13 <= len(heard) <= 26  # 0.5 s at most, widened to whole frames
        firsts.add(int(heard[0]))
    assert len(firsts) > 5, "clips are cut anew"
    batch = collate_frames(items[:1] + items[-1:])
    longest = batch["labels"].shape[1]
    assert batch["heard"].shape == ((2, longest * HOP) if audio else (2, longest, 3))
    assert batch["lengths"].tolist() == [
        (HOP if audio else 1) * len(item["numbers"]) for item in items[:1] + items[-1:]
    ]
    whole = LabelledFrames(source, numbers, 50.0)[1]
    assert len(whole["numbers"]) == 35


def test_masked_runs_are_of_their_length_and_inside() -> None:
    torch.manual_seed(0)
    counts = torch.tensor([200, 50, 1])
    hidden = mask_runs(counts, 200, 0.02, 10)
    assert not hidden[1, 50:].any()
    assert hidden.any(dim=1).all(), "every clip has one"
    assert hidden[2].sum() == 1
    ends = torch.diff(torch.nn.functional.pad(hidden[0].int(), (1, 1))).nonzero()[:, 0]
    runs = ends[1::2] - ends[::2]
    assert (runs[:-1] >= 10).all(), "shorter only at the end of a clip"
    assert hidden[0].float().mean() < 0.5


class Said:
    """A labeller that says the same of every frame, whatever it hears."""

    def __init__(self, hidden: list[list[bool]], masks: bool) -> None:
        self.filler = torch.zeros(1) if masks else None
        self.hidden = torch.tensor(hidden)

    def __call__(self, heard: Any, lengths: Any) -> Any:
        batch, frames = self.hidden.shape
        two, three = torch.tensor([1.0, 0.0]).double(), torch.zeros(3).double()
        said = {"1x2": two.expand(batch, frames, 2), "3x3": three.expand(batch, frames, 3)}
        return said, self.hidden, torch.tensor([3, 2])


@pytest.mark.parametrize(("masks", "first"), [(False, (3 * 0.31326169 + 2 * 1.31326169) / 5), (True, 0.81326169)])
def test_the_loss_is_the_mean_over_frames_that_count_then_over_scales(masks: bool, first: float) -> None:
    """By hand: -log softmax of logits (1, 0) is 0.31326169 and 1.31326169; of three equal ones log 3."""
    learner = LabellerLearner(Said([[True, False, False], [True, False, False]], masks))  # type: ignore[arg-type]
    labels = torch.tensor([[[0, 0], [0, 1], [1, 2]], [[1, 0], [0, 0], [NO_FRAME, NO_FRAME]]])
    found = learner(torch.zeros(2, 3), torch.tensor([3, 2]), labels)["loss"]
    assert found.item() == pytest.approx((first + math.log(3)) / 2, abs=1e-7)
    assert learner.take_terms() == pytest.approx({"1x2": first / 2, "3x3": math.log(3) / 2}, abs=1e-7)


def test_what_clusters_hold_by_hand(tmp_path: Path) -> None:
    """Clusters 0 and 1 of two happy women and a sad man; the two say one sentence, and a third is said once."""
    utterances = [of("1", text="Dogs sit."), of("2", "sad", "m", "Dogs sit."), of("3", text="Once.")]
    numbers = [np.array([[0], [0], [0], [1]]), np.array([[1], [1], [1], [1]]), np.array([[0], [1]])]
    report = describe([(6, 3)], numbers, utterances)
    assert (report["frames"], report["classes"]) == (10, {"emotion": 2, "gender": 2, "unit": 4})
    scale = report["scales"]["6x3"]
    assert (scale["sizes"], scale["largest"], scale["empty"]) == ([4, 6, 0], 60.0, 1)
    # cluster 0: 4 happy; cluster 1: 2 happy, 4 sad
    assert scale["purity"]["emotion"] == {"value": 80.0, "one_cluster": 60.0, "frames": 10}
    # H(emotion) = 0.97095 bit and so H(cluster); H(emotion | cluster) = 0.6 * 0.91830
    assert scale["nmi"]["emotion"] == pytest.approx((0.970951 - 0.550978) / 0.970951, abs=1e-4)
    assert scale["purity"]["unit"]["frames"] == 8, "nobody else says the third sentence"
    assert scale["purity"]["unit"]["value"] == 37.5  # cluster 0: pieces 0, 2 and 5 once each; 1: the same, and 7 twice
    draw_clusters(report, tmp_path)
    assert (tmp_path / "clusters.png").stat().st_size > 5_000
