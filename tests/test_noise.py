from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sercli.errors import CorpusError
from sercli.noise import (
    PADDING_SAMPLES,
    Babble,
    Recordings,
    coloured,
    excerpt,
    mix,
    noise_types,
    pink,
    power,
    sounding,
    white,
    without_padding,
)

RATE = 16_000  # Hz
SNR_DB = (-5.0, 0.0, 5.0, 10.0, 15.0, 20.0)


def hum(hertz: float, seconds: float, level: float = 0.1) -> np.ndarray:
    """A sine that never stays at zero."""
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE + 0.5)).astype(np.float32)


def people(count: int, clips: int = 1, seconds: float = 0.5) -> list[tuple[str, Callable[[], np.ndarray]]]:
    """Speakers s0, s1 ..., each a sine of 200, 300 ... Hz and each at another level."""
    return [
        (f"s{number}", lambda number=number: hum(200 + 100 * number, seconds, 0.01 * 2**number))
        for number in range(count)
        for _ in range(clips)
    ]


def write(path: Path, *signals: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.concatenate(signals), RATE, subtype="FLOAT" if path.suffix == ".wav" else None)
    return path


def snr_of(clean: np.ndarray, noisy: np.ndarray) -> float:
    """Measured ratio in dB of what was there to what was really added."""
    added = noisy.astype(np.float64) - clean
    return float(10 * np.log10(np.mean(clean.astype(np.float64) ** 2) / np.mean(added**2)))


def hears(signal: np.ndarray, hertz: float) -> float:
    """Amplitude of a frequency, for signals of whole seconds or half seconds."""
    return float(2 * np.abs(np.fft.rfft(signal)[round(hertz * len(signal) / RATE)]) / len(signal))


@pytest.mark.parametrize("snr_db", SNR_DB)
@pytest.mark.parametrize("samples", [777, 16_000, 100_003])
def test_measured_ratio_is_the_one_asked_for(snr_db: float, samples: int, tmp_path: Path) -> None:
    padded = write(tmp_path / "padded.wav", hum(310, 0.2, 1e-4), np.zeros(RATE), hum(90, 0.3), np.zeros(RATE))
    rng = np.random.default_rng(samples)
    noises = [white, pink, Recordings.load([padded], "hum"), Babble.load(people(8))]
    for level in (1e-3, 0.3):
        clean = (level * rng.standard_normal(samples)).astype(np.float32)
        for noise in noises:
            noisy = mix(clean, noise(samples, rng, ""), snr_db)
            assert noisy.dtype == np.float32
            assert snr_of(clean, noisy) == pytest.approx(snr_db, abs=0.01)


def test_powers_may_be_taken_over_a_part() -> None:
    clean, noise = hum(200, 0.5), white(8_000, np.random.default_rng(0))
    clean[2_000:] = 0
    inside = sounding(clean)
    assert np.flatnonzero(inside).tolist() == list(range(2_000))
    noisy = mix(clean, noise, 10.0, inside)
    assert snr_of(clean[:2_000], noisy[:2_000]) == pytest.approx(10.0, abs=0.01)
    assert snr_of(clean, noisy) == pytest.approx(10.0 - 10 * np.log10(4), abs=0.3)


def test_silence_gets_no_noise_and_silent_noise_is_refused() -> None:
    silence, sound = np.zeros(800, np.float32), hum(200, 0.05)
    assert not mix(silence, sound, 0.0).any()
    with pytest.raises(CorpusError, match="all zero"):
        mix(sound, silence, 0.0)


@pytest.mark.parametrize(("source", "decay_db"), [(white, 0.0), (pink, -3.01)])
def test_power_per_hertz_falls_with_the_octave(source: Callable[..., np.ndarray], decay_db: float) -> None:
    rng = np.random.default_rng(0)
    spectrum = np.mean([np.abs(np.fft.rfft(source(3 * RATE, rng))) ** 2 for _ in range(40)], axis=0)
    hertz = np.fft.rfftfreq(3 * RATE, 1 / RATE)
    edges = 31.25 * 2.0 ** np.arange(9)  # to 8 kHz
    bands = [spectrum[(hertz >= low) & (hertz < high)].mean() for low, high in pairwise(edges)]
    slopes = np.diff(10 * np.log10(bands))
    assert np.mean(slopes) == pytest.approx(decay_db, abs=0.1)
    assert slopes == pytest.approx(np.full(7, decay_db), abs=0.5)


def test_coloured_noise_falls_by_0_to_6_db_per_octave() -> None:
    rng, slopes = np.random.default_rng(0), []
    hertz = np.fft.rfftfreq(1 << 16, 1 / RATE)
    bands = [(hertz >= low) & (hertz < 2 * low) for low in 125.0 * 2.0 ** np.arange(6)]
    for _ in range(60):
        spectrum = np.abs(np.fft.rfft(coloured(1 << 16, rng))) ** 2
        slopes.append(np.diff([10 * np.log10(spectrum[band].mean()) for band in bands]).mean())
    assert -6.3 < min(slopes) < -5
    assert -1 < max(slopes) < 0.3
    assert np.mean(slopes) == pytest.approx(-3.0, abs=0.8)


@pytest.mark.parametrize("samples", [8_000, 48_000, 160_000])
def test_pink_noise_holds_nothing_below_hearing(samples: int) -> None:
    noise = pink(samples, np.random.default_rng(1)).astype(np.float64)
    spectrum = np.abs(np.fft.rfft(noise * np.hanning(samples))) ** 2
    below = np.fft.rfftfreq(samples, 1 / RATE) < 15
    assert spectrum[below].sum() < 0.01 * spectrum.sum()  # with 1/f down to 0.1 Hz it would be a third and more


def test_padding_is_cut_out_and_quiet_passages_stay() -> None:
    sound, zeros = hum(100, 0.1), np.zeros(PADDING_SAMPLES, np.float32)
    padded = np.concatenate([zeros, sound, zeros, zeros, sound, zeros[1:], sound, zeros])
    assert np.array_equal(without_padding(padded), np.concatenate([sound, sound, zeros[1:], sound]))
    assert np.array_equal(without_padding(sound), sound)
    assert not len(without_padding(zeros[:10]))  # silent throughout, however short


def test_long_recordings_are_cut_anywhere_and_short_ones_go_round() -> None:
    recording, rng = np.arange(10, dtype=np.float32), np.random.default_rng(0)
    cuts = {tuple(excerpt(recording, 8, rng)) for _ in range(100)}
    assert cuts == {tuple(range(start, start + 8)) for start in range(3)}
    turns = [excerpt(recording, 25, rng) for _ in range(200)]
    assert {int(turn[0]) for turn in turns} == set(range(10))
    assert all(np.array_equal(turn, (turn[0] + np.arange(25)) % 10) for turn in turns)


def test_every_recording_is_used_and_a_silent_one_never(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{hertz}.flac", hum(hertz, 1.0)) for hertz in (400, 700)]
    silent = write(tmp_path / "silent.flac", np.zeros(RATE))
    source, rng = Recordings.load([*files, silent], "hum"), np.random.default_rng(0)
    heard = [(hears(noise, 400) > 0.05, hears(noise, 700) > 0.05) for noise in (source(RATE, rng) for _ in range(60))]
    assert set(heard) == {(True, False), (False, True)}
    assert 15 <= sum(first for first, _ in heard) <= 45
    with pytest.raises(CorpusError, match="noise hum: every recording is silent"):
        Recordings.load([silent], "hum")


def test_recordings_are_resampled(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", 0.1 * np.sin(2 * np.pi * 500 * np.arange(44_100) / 44_100), 44_100)
    noise = Recordings.load([tmp_path / "a.wav"], "hum")(RATE // 2, np.random.default_rng(0))
    assert hears(noise, 500) == pytest.approx(0.1, rel=0.01)


def test_babble_is_six_others_equally_loud() -> None:
    babble, rng = Babble.load(people(9)), np.random.default_rng(0)
    chosen = set()
    for _ in range(40):
        noise = babble(RATE, rng, "s3")
        levels = [hears(noise, 200 + 100 * number) for number in range(9)]
        heard = [number for number, level in enumerate(levels) if level > 0.1]
        assert len(heard) == 6
        assert 3 not in heard
        assert [levels[number] for number in heard] == pytest.approx([2**0.5] * 6, rel=0.02)  # unit power each
        chosen.update(heard)
    assert chosen == set(range(9)) - {3}


def test_babble_draws_from_all_over_a_corpus() -> None:
    read = []

    def clip(name: str) -> np.ndarray:
        read.append(name)
        return hum(200, 60.0 if name == "s0-0" else 0.1)

    clips = [(f"s{n}", lambda n=n, i=i: clip(f"s{n}-{i}")) for n in range(10) for i in range(50)]
    babble = Babble.load(clips)
    assert len(read) <= 128
    assert all(f"s{n}-{i}" in read for n in range(10) for i in (0, 25))
    assert max(len(sound) for voice in babble.voices.values() for sound in voice) == 10 * RATE
    read.clear()
    assert len(Babble.load([(f"s{n}", lambda n=n: clip(f"s{n}")) for n in range(500)]).voices) == len(read) == 128


def test_babble_needs_seven_speakers_who_are_heard() -> None:
    silent = ("s9", lambda: np.zeros(RATE, np.float32))
    with pytest.raises(CorpusError, match="at least 7 speakers, not 6"):
        Babble.load([*people(6, clips=3), silent])
    assert Babble.load(people(7))(1_000, np.random.default_rng(0), "s0").any()


@pytest.mark.parametrize(
    "source", [white, pink, coloured, Babble.load(people(7)), Recordings((hum(200, 0.2), hum(300, 2.0)))]
)
@pytest.mark.parametrize("samples", [1, 15_999])
def test_a_seed_gives_the_same_noise(source: Callable[..., np.ndarray], samples: int) -> None:
    first, again, other = (source(samples, np.random.default_rng(seed), "") for seed in (1, 1, 2))
    assert first.shape == (samples,)
    assert first.dtype == np.float32
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert power(first) > 0


def test_noise_types_are_folders_and_training_noise_is_never_used(tmp_path: Path) -> None:
    files = ["rain/test/b.flac", "rain/test/deep/a.flac", "rain/train/c.flac", "rain/d.flac", "train_only/train/e.flac"]
    files += ["wind/f.flac", "wind/near/g.flac", "wind/train/h.flac", "rir/room.flac", ".hidden/i.flac"]
    for name in files:
        write(tmp_path / name, hum(100, 0.01))
    (tmp_path / "empty").mkdir()

    def names(folder: Path) -> dict[str, list[str]]:
        return {
            kind: [str(file.relative_to(tmp_path)) for file in found] for kind, found in noise_types(folder).items()
        }

    rain, wind = ["rain/test/b.flac", "rain/test/deep/a.flac"], ["wind/f.flac", "wind/near/g.flac"]
    assert names(tmp_path) == {"rain": rain, "wind": wind}
    assert names(tmp_path / "rain") == {"rain": rain}
    assert names(tmp_path / "wind") == {"wind": wind}
    for side, kinds in (("train", {"rain", "train_only", "wind"}), ("test", {"rain", "wind"})):
        assert set(noise_types(tmp_path, side)) == kinds
    train = [file.name for files in noise_types(tmp_path, "train").values() for file in files]
    assert train == ["c.flac", "e.flac", "h.flac"]
    for unusable in ("empty", "train_only", "missing"):
        with pytest.raises(CorpusError, match=unusable):
            noise_types(tmp_path / unusable)
