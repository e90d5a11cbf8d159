import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')
pytest.importorskip("torchaudio", reason='needs the extra "train"')

from sercli.training.augment import Augmentation  # noqa: E402
from sercli.training.recipe import AugmentPart  # noqa: E402

OFF = {"time_masks": 0, "mel_masks": 0}


def clips() -> tuple[torch.Tensor, torch.Tensor]:
    """Two clips, the second half as long; zero in the padding."""
    torch.manual_seed(0)
    waveform, lengths = 0.1 * torch.randn(2, 16_000), torch.tensor([16_000, 8_000])
    waveform[1, 8_000:] = 0.0
    return waveform, lengths


def frames() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    log_mel, counts = torch.rand(4, 100, 64) + 0.5, torch.tensor([100, 80, 60, 40])
    for row, count in enumerate(counts):
        log_mel[row, count:] = 0.0
    return log_mel, counts


def test_gain_scales_the_whole_clip() -> None:
    clean, _ = clips()
    louder = Augmentation(AugmentPart(gain_db=6.0)).waveform(clean)
    factor = louder[:, :8_000] / clean[:, :8_000]
    assert bool((factor.std(dim=1) < 1e-4).all())
    assert bool((20 * factor.mean(dim=1).log10()).abs().max() <= 6.0)
    assert float(factor[0, 0]) != pytest.approx(float(factor[1, 0]))


def test_masks_only_set_zero() -> None:
    log_mel, counts = frames()
    part = AugmentPart(time_masks=2, time_width=0.2, mel_masks=2, mel_width=10)
    hidden = torch.zeros_like(log_mel, dtype=torch.bool)
    for _ in range(20):
        masked = Augmentation(part).features(log_mel, counts)
        gone = masked != log_mel
        assert not masked[gone].any()
        share = gone[0].float()
        assert float(share.all(dim=1).float().sum()) <= 2 * 21  # two runs of up to a fifth of 100 frames
        assert float(share.all(dim=0).float().sum()) <= 2 * 11
        hidden |= gone
    assert 0.5 < float(hidden[0].float().mean()) <= 1.0  # and not always the same place


def test_zero_strength_changes_nothing() -> None:
    clean, _ = clips()
    log_mel, counts = frames()
    augmentation = Augmentation(AugmentPart(**OFF))
    assert torch.equal(augmentation.waveform(clean), clean)
    assert torch.equal(augmentation.features(log_mel, counts), log_mel)
    mixed, same, order, share = augmentation.mixup(log_mel, counts)
    assert torch.equal(mixed, log_mel)
    assert (same.tolist(), order.tolist(), share) == (counts.tolist(), [0, 1, 2, 3], 1.0)


def test_band_shift_moves_the_spectrum_and_repeats_its_edge() -> None:
    torch.manual_seed(0)
    ramp = torch.arange(64.0).expand(32, 10, 64).clone()
    shifted = Augmentation(AugmentPart(mel_shift=2, **OFF)).features(ramp, torch.full((32,), 10))
    moves = {int(row[0, 32]) - 32 for row in shifted}
    assert moves == {-2, -1, 0, 1, 2}
    for row in shifted:
        assert row[0].tolist() == (torch.arange(64) + (row[0, 32] - 32)).clamp(0, 63).tolist()


def test_mixup_is_a_weighted_sum_of_two_clips() -> None:
    torch.manual_seed(1)
    log_mel, counts = frames()
    augmentation = Augmentation(AugmentPart(mixup_alpha=0.4, mixup_probability=1.0, **OFF))
    mixed, longer, order, share = augmentation.mixup(log_mel, counts)
    assert 0.5 <= share <= 1.0
    assert sorted(order.tolist()) == [0, 1, 2, 3]
    torch.testing.assert_close(mixed, share * log_mel + (1 - share) * log_mel[order])
    assert longer.tolist() == torch.maximum(counts, counts[order]).tolist()


def test_padding_stays_zero() -> None:
    log_mel, counts = frames()
    augmentation = Augmentation(AugmentPart(mel_shift=2))
    changed = augmentation.features(log_mel, counts)
    assert all(not changed[row, count:].any() for row, count in enumerate(counts))


def test_a_single_band_is_never_hidden_or_moved() -> None:
    """Samples are features of one band."""
    samples = torch.rand(4, 100, 1) + 0.5
    augmentation = Augmentation(AugmentPart(time_masks=0, mel_masks=4, mel_shift=3))
    assert torch.equal(augmentation.features(samples, torch.full((4,), 100)), samples)
