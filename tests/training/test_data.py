import dataclasses
from collections import Counter

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')

from sercli.corpora.table import Utterance  # noqa: E402
from sercli.training.data import MIN_SAMPLES, BalancedLengthSampler, Clips, Draw, class_weights, collate  # noqa: E402
from sercli.training.recipe import AugmentPart  # noqa: E402
from sercli.training.store import AudioStore  # noqa: E402

LABELS = ("happy", "sad", "angry")


def utterances(**counts: int) -> list[Utterance]:
    """`a_happy=3`: three happy utterances of corpus a."""
    return [
        Utterance(path=f"{key}{number}", corpus=key.split("_")[0], emotion=key.split("_")[1])
        for key, count in counts.items()
        for number in range(count)
    ]


def store(*lengths: int) -> AudioStore:
    samples = np.concatenate([np.full(length, index + 1, np.int16) for index, length in enumerate(lengths)])
    return AudioStore(samples, np.concatenate([[0], np.cumsum(lengths)]))


def sums(items: list[Utterance], weights: np.ndarray) -> dict[tuple[str, str], float]:
    found: Counter[tuple[str, str]] = Counter()
    for item, weight in zip(items, weights, strict=True):
        found[item.corpus, item.emotion] += weight
    return {key: round(float(value), 6) for key, value in found.items()}


@pytest.mark.parametrize(
    ("power", "expected"),
    [
        (0.0, {("a", "happy"): 6, ("a", "sad"): 2, ("b", "sad"): 4}),
        (1.0, {("a", "happy"): 4, ("a", "sad"): 4, ("b", "sad"): 4}),
        (0.5, {("a", "happy"): 5.071797, ("a", "sad"): 2.928203, ("b", "sad"): 4}),  # in proportion to roots
    ],
)
def test_classes_of_a_corpus_are_made_alike(power: float, expected: dict[tuple[str, str], float]) -> None:
    items = utterances(a_happy=6, a_sad=2, b_sad=4)
    weights = class_weights(items, power)
    assert sums(items, weights) == expected
    assert weights.mean() == pytest.approx(1.0)


def test_an_utterances_own_weight_counts() -> None:
    items = [Utterance("x", corpus="a", emotion="happy", weight=w) for w in (3.0, 1.0)]
    items += [Utterance("y", corpus="a", emotion="sad", weight=0.0), *utterances(b_sad=2)]
    assert class_weights(items, 1.0).tolist() == pytest.approx([3.0, 1.0, 0.0, 1.0, 1.0])


def test_sampler_draws_as_often_as_weights_say() -> None:
    weights = np.array([2.0, 0.25, 1.0, 0.75] * 10)
    sampler = BalancedLengthSampler(weights, np.full(40, 8_000), batch=4, seed=0)
    drawn: Counter[int] = Counter()
    for epoch in range(60):
        sampler.set_epoch(epoch)
        order = [draw.clip for draw in sampler]
        assert len(order) == len(sampler) == 40
        drawn.update(order)
    counts = np.array([drawn[index] for index in range(40)]).reshape(10, 4).mean(axis=0) / 60
    assert counts == pytest.approx([2.0, 0.25, 1.0, 0.75], abs=0.12)


def test_sampler_of_even_weights_misses_nothing() -> None:
    sampler = BalancedLengthSampler(np.ones(38), np.arange(38), batch=4, seed=0)
    assert sorted(draw.clip for draw in sampler) == list(range(38))


def test_no_batch_of_a_single_clip() -> None:
    sampler = BalancedLengthSampler(np.ones(37), np.arange(37), batch=4, seed=0)
    assert len(sampler) == len(list(sampler)) == 36


def test_order_depends_on_seed_and_epoch_alone() -> None:
    def draws(seed: int, epoch: int) -> list[Draw]:
        sampler = BalancedLengthSampler(np.ones(50), np.arange(50), batch=4, seed=seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert draws(1, 5) == draws(1, 5)
    for other in (draws(1, 6), draws(2, 5)):
        assert [draw.clip for draw in draws(1, 5)] != [draw.clip for draw in other]
    assert len({draw.seed for draw in [*draws(1, 5), *draws(1, 6), *draws(2, 5)]}) == 150  # none is drawn alike


def test_batches_hold_clips_of_similar_length() -> None:
    lengths = np.random.default_rng(0).integers(8_000, 80_000, 640)
    grouped = np.array([draw.clip for draw in BalancedLengthSampler(np.ones(640), lengths, batch=16, seed=0)])

    def padded(order: np.ndarray) -> float:
        batches = lengths[order].reshape(-1, 16)
        return float((batches.max(axis=1) * 16).sum() / batches.sum()) - 1.0

    assert padded(grouped) < 0.1
    assert padded(np.random.default_rng(1).permutation(640)) > 0.5
    starts = lengths[grouped].reshape(-1, 16).mean(axis=1)
    assert not np.all(np.diff(starts) > 0)  # batches themselves come in random order


def test_the_last_batch_is_the_incomplete_one() -> None:
    lengths = np.arange(10)
    order = [draw.clip for draw in BalancedLengthSampler(np.ones(10), lengths, batch=4, seed=3)]
    batches = np.array_split(order, [4, 8])
    assert [sorted(batch)[-1] - sorted(batch)[0] for batch in map(list, batches)] == [3, 3, 1]  # neighbours in length


def test_evaluation_returns_the_clip_as_it_is() -> None:
    clips = Clips(utterances(a_happy=1, a_sad=1), store(5_000, 200_000), LABELS)
    item = clips[1]
    assert item["waveform"].dtype == np.int16
    assert np.array_equal(item["waveform"], np.full(200_000, 2))
    assert (item["label"], item["weight"], item["known"].tolist()) == (1, 1.0, [True, True, False])


def test_known_classes_are_those_of_the_clips_corpus() -> None:
    clips = Clips(utterances(a_happy=1, b_sad=1, b_angry=1), store(4_000, 4_000, 4_000), LABELS)
    assert [clips[index]["known"].tolist() for index in range(3)] == [[True, False, False], *[[False, True, True]] * 2]


def test_a_clip_without_a_label_may_be_of_any_class() -> None:
    labelled = utterances(a_happy=1, b_sad=1)
    unlabelled = dataclasses.replace(labelled[1], emotion="")
    clips = Clips([labelled[0], unlabelled, labelled[1]], store(4_000, 4_000, 4_000), LABELS)
    expected = [[True, False, False], [True, True, True], [False, True, False]]
    assert [clips[index]["known"].tolist() for index in range(3)] == expected


def test_training_cuts_but_never_below_a_quarter_of_a_second() -> None:
    augment = AugmentPart(max_seconds=1.0, trim_seconds=2.0)
    clips = Clips(utterances(a_happy=3), store(3_000, 5_000, 80_000), LABELS, augment)
    lengths = [[len(clips[Draw(index, (n,))]["waveform"]) for n in range(50)] for index in range(3)]
    assert set(lengths[0]) == {3_000}
    assert min(lengths[1]) == MIN_SAMPLES
    assert MIN_SAMPLES < min(lengths[2]) <= max(lengths[2]) == 16_000


def test_zero_strength_leaves_the_clip_alone() -> None:
    augment = AugmentPart(max_seconds=10.0, trim_seconds=0.0, speed=0.0)
    clips = Clips(utterances(a_happy=1), store(20_000), LABELS, augment)
    assert np.array_equal(clips[0]["waveform"], np.ones(20_000))


def test_speed_changes_length_within_its_bounds() -> None:
    augment = AugmentPart(trim_seconds=0.0, speed=0.2, speed_probability=1.0)
    clips = Clips(utterances(a_happy=1), store(20_000), LABELS, augment)
    ratios = [len(clips[Draw(0, (n,))]["waveform"]) / 20_000 for n in range(60)]
    assert 1 / 1.21 <= min(ratios) < 0.93
    assert 1.07 < max(ratios) <= 1 / 0.79


def test_collate_pads_on_the_right_and_scales() -> None:
    clips = Clips(utterances(a_happy=1, a_sad=1), store(5_000, 9_000), LABELS, weights=np.array([1.0, 0.5]))
    batch = collate([clips[0], clips[1]])
    assert batch["waveform"].shape == (2, 9_000)
    assert batch["waveform"].dtype == torch.float32
    assert batch["lengths"].tolist() == [5_000, 9_000]
    assert not batch["waveform"][0, 5_000:].any()
    assert batch["waveform"][:, 0].tolist() == pytest.approx([1 / 32_767, 2 / 32_767])
    assert (batch["labels"].tolist(), batch["weights"].tolist()) == ([0, 1], [1.0, 0.5])
    assert batch["known"].tolist() == [[True, True, False]] * 2


def test_collate_gives_the_network_at_least_its_shortest_input() -> None:
    clips = Clips(utterances(a_happy=1), store(100), LABELS)
    batch = collate([clips[0]])
    assert batch["waveform"].shape == (1, MIN_SAMPLES)
    assert batch["lengths"].tolist() == [100]
