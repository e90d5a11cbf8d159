import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')
torchaudio = pytest.importorskip("torchaudio", reason='needs the extra "train"')

from sercli.models.frontend import LogMel, frame_counts, frame_mask  # noqa: E402

RATE = 16_000


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0.0, 0.1, shape).astype(np.float32))


@pytest.mark.parametrize(("mels", "low_hz", "high_hz"), [(64, 50.0, 7_800.0), (40, 20.0, 8_000.0)])
@pytest.mark.parametrize(("window", "hop"), [(400, 160), (1_024, 320), (320, 320)])
def test_mel_power_equals_torchaudio(mels: int, low_hz: float, high_hz: float, window: int, hop: int) -> None:
    reference = torchaudio.transforms.MelSpectrogram(
        sample_rate=RATE,
        n_fft=window,
        win_length=window,
        hop_length=hop,
        f_min=low_hz,
        f_max=high_hz,
        n_mels=mels,
        power=2.0,
        center=False,
        norm=None,
        mel_scale="slaney",
        wkwargs={"periodic": False},
    )
    waveform = noise(2, RATE)
    expected = reference(waveform).transpose(1, 2)
    found = LogMel(mels, low_hz, high_hz, window_samples=window, hop_samples=hop).power(waveform)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("samples", "frames"),
    [(0, 1), (1, 1), (399, 1), (400, 1), (559, 1), (560, 2), (720, 3), (16_000, 98), (48_000, 298)],
)
def test_frame_counts(samples: int, frames: int) -> None:
    assert frame_counts(torch.tensor([samples])).tolist() == [frames]


@pytest.mark.parametrize("samples", [400, 401, 559, 560, 719, 720, 4_000, 16_001])
def test_power_has_as_many_frames_as_are_counted(samples: int) -> None:
    assert LogMel().power(noise(1, samples)).shape == (1, int(frame_counts(torch.tensor([samples]))), 64)


def test_frame_mask() -> None:
    assert frame_mask(torch.tensor([1, 3]), 4).tolist() == [[1, 0, 0, 0], [1, 1, 1, 0]]


@pytest.mark.parametrize("hertz", [250.0, 1_000.0, 4_000.0])
def test_a_tone_peaks_in_the_band_around_it(hertz: float) -> None:
    frontend = LogMel()
    time = torch.arange(RATE) / RATE
    band = frontend.power(torch.sin(2.0 * math.pi * hertz * time)[None]).mean(dim=(0, 1)).argmax()

    # Slaney's scale in torchaudio's own words: mels + 2 edges, band b between edges b and b + 2
    def to_mel(frequency: float) -> float:
        return 3 * frequency / 200 if frequency < 1_000 else 15 + 27 / math.log(6.4) * math.log(frequency / 1_000)

    place = (to_mel(hertz) - to_mel(50.0)) / (to_mel(7_800.0) - to_mel(50.0)) * 65
    assert abs(int(band) + 1 - place) <= 0.75


@pytest.mark.parametrize("per_band", [True, False])
def test_loudness_does_not_matter(per_band: bool) -> None:
    frontend, waveform, lengths = LogMel(per_band=per_band), noise(1, RATE), torch.tensor([RATE])
    usual, counts = frontend(waveform, lengths)
    louder, _ = frontend(4.0 * waveform, lengths)
    assert counts.tolist() == [98]
    torch.testing.assert_close(louder, usual, rtol=0.0, atol=1e-3)


@pytest.mark.parametrize("per_band", [True, False])
def test_padding_and_neighbours_do_not_matter(per_band: bool) -> None:
    frontend = LogMel(per_band=per_band)
    short, long = noise(1, 9_000, seed=1), noise(1, 20_000, seed=2)
    alone, _ = frontend(short, torch.tensor([9_000]))
    batch = torch.cat([torch.nn.functional.pad(short, (0, 11_000)), long])
    together, counts = frontend(batch, torch.tensor([9_000, 20_000]))
    frames = int(counts[0])
    torch.testing.assert_close(together[0, :frames], alone[0, :frames], rtol=0.0, atol=1e-5)
    assert not together[0, frames:].any()


def test_frames_are_normalised_and_silence_is_finite() -> None:
    frontend = LogMel(per_band=True)
    frames, _ = frontend(noise(1, RATE), torch.tensor([RATE]))
    assert float(frames.mean(dim=1).abs().max()) < 0.02
    assert float((frames**2).mean()) == pytest.approx(1.0, abs=0.05)
    silent, _ = frontend(torch.zeros(1, RATE), torch.tensor([RATE]))
    assert float(silent.abs().max()) < 1e-3


@pytest.mark.parametrize("per_band", [True, False])
def test_a_pause_does_not_change_how_speech_looks(per_band: bool) -> None:
    frontend, speech = LogMel(per_band=per_band), noise(1, RATE)
    usual, _ = frontend(speech, torch.tensor([RATE]))
    paused, _ = frontend(torch.cat([speech, 1e-4 * noise(1, RATE, seed=1)], dim=1), torch.tensor([2 * RATE]))
    torch.testing.assert_close(paused[:, :98], usual, rtol=0.0, atol=0.2)  # the frames at the seam count
