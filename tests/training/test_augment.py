from pathlib import Path

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch", reason='needs the extra "train"')
pytest.importorskip("torchaudio", reason='needs the extra "train"')

from sercli.errors import RecipeError  # noqa: E402
from sercli.training.augment import Augmentation, mix  # noqa: E402
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


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 12.5, 30.0])
def test_mix_has_the_ratio_asked_for(snr_db: float) -> None:
    clean, lengths = clips()
    noise = torch.randn_like(clean) * (clean != 0)
    added = mix(clean, noise, lengths, torch.full((2, 1), snr_db)) - clean
    for row, length in enumerate(lengths):
        signal_power = (clean[row, :length].double() ** 2).mean()
        noise_power = (added[row, :length].double() ** 2).mean()
        assert float(10 * torch.log10(signal_power / noise_power)) == pytest.approx(snr_db, abs=0.01)
    assert not added[1, 8_000:].any()


def test_noise_stays_out_of_the_padding_and_within_its_bounds() -> None:
    clean, lengths = clips()
    augmentation = Augmentation(AugmentPart(noise_probability=1.0, noise_snr_db=(10.0, 20.0)))
    for _ in range(5):
        noisy = augmentation.waveform(clean, lengths)
        assert not noisy[1, 8_000:].any()
        ratios = 10 * torch.log10((clean**2).sum(dim=1) / ((noisy - clean) ** 2).sum(dim=1))
        assert bool(((ratios > 9.99) & (ratios < 20.01)).all())


def test_gain_scales_the_whole_clip() -> None:
    clean, lengths = clips()
    louder = Augmentation(AugmentPart(gain_db=6.0)).waveform(clean, lengths)
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
    clean, lengths = clips()
    log_mel, counts = frames()
    augmentation = Augmentation(AugmentPart(**OFF))
    assert torch.equal(augmentation.waveform(clean, lengths), clean)
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


def test_recorded_noise_is_used(tmp_path: Path) -> None:
    clean, lengths = clips()
    tone = np.sin(2 * np.pi * 1_000 * np.arange(16_000) / 16_000).astype(np.float32)
    soundfile.write(tmp_path / "tone.wav", 0.1 * tone, 16_000)
    soundfile.write(tmp_path / "silence.wav", np.zeros(16_000, np.float32), 16_000)  # must not poison the rest
    part = AugmentPart(noise_probability=1.0, noise_snr_db=(0.0, 0.0), noise_folder=str(tmp_path))
    added = (Augmentation(part).waveform(clean, lengths) - clean)[0]
    assert torch.isfinite(added).all()
    assert int(torch.fft.rfft(added).abs().argmax()) == 1_000


@pytest.mark.parametrize("silent", [True, False])
def test_no_usable_recordings(tmp_path: Path, silent: bool) -> None:
    if silent:
        soundfile.write(tmp_path / "silence.wav", np.zeros(16_000, np.float32), 16_000)
    with pytest.raises(RecipeError, match=r"^augment\.noise_folder: "):
        Augmentation(AugmentPart(noise_folder=str(tmp_path)))
