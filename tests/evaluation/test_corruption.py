from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sercli.audio import read_audio
from sercli.errors import CorpusError, UsageError
from sercli.evaluation.codec import CODECS, encode, mu_law, transcode
from sercli.evaluation.corruption import KINDS, SNR_DB, clip_peaks, gain, grid, noise_files, telephone
from sercli.reverberation import reverberate

RATE = 16_000  # Hz


def speech(seconds: float, seed: int = 0) -> np.ndarray:
    """Voiced sound with a moving pitch, four syllables a second and some breath; peak 0.5."""
    rng, time = np.random.default_rng(seed), np.arange(round(seconds * RATE)) / RATE
    pitch = 140 + 30 * np.sin(2 * np.pi * 0.7 * time + seed)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    voice = sum(np.sin(k * phase) / k * np.exp(-(((k * 140 - 700) / 2_500) ** 2)) for k in range(1, 40))
    signal = (voice + 0.05 * rng.standard_normal(len(time))) * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * time))
    return (0.5 * signal / np.abs(signal).max()).astype(np.float32)


def lag_seconds(clean: np.ndarray, changed: np.ndarray) -> float:
    """By how much a clip comes late, at the peak of the cross-correlation; rooms may turn the sign."""
    size = 2 * len(clean)
    product = np.fft.rfft(changed, size) * np.conj(np.fft.rfft(clean, size))
    place = int(np.argmax(np.abs(np.fft.irfft(product, size))))
    return (place if place < len(clean) else place - size) / RATE


def level_db(signal: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(signal.astype(np.float64) ** 2)))


@pytest.fixture(scope="module")
def noises(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A noise folder with one type and two rooms."""
    folder, rng = tmp_path_factory.mktemp("noise"), np.random.default_rng(0)
    (folder / "rain" / "test").mkdir(parents=True)
    (folder / "rir").mkdir()
    for name in ("a", "b"):
        soundfile.write(folder / "rain" / "test" / f"{name}.flac", 0.1 * rng.standard_normal(8_000), RATE)
    for name, before in (("hall", 2_000), ("kitchen", 3)):
        tail = 0.02 * rng.standard_normal(before + 6_000) * np.exp(-np.arange(before + 6_000) / 2_000)
        tail[:before] *= 0.01
        tail[before] = -0.9
        soundfile.write(folder / "rir" / f"{name}.flac", tail, RATE)
    return folder


@pytest.fixture(scope="module")
def babble() -> list[tuple[str, Callable[[], np.ndarray]]]:
    return [(f"s{number}", lambda number=number: speech(0.7, number)) for number in range(7)]


def test_every_cell_keeps_length_type_seed_and_silence(noises: Path, babble: list) -> None:
    cells = grid(["rain", *KINDS], snr_db=(10, -5), noise_folder=noises, babble=babble)
    assert len({(cell.kind, cell.level) for cell in cells}) == len(cells)
    clips = [speech(seconds, seed) for seed, seconds in enumerate((0.0371, 0.5, 1.00006))]
    originals = [clip.copy() for clip in clips]

    def corrupt(number: int) -> np.ndarray:
        return cells[number // 3](clips[number % 3], np.random.default_rng(number), "s1")

    results = [corrupt(number) for number in range(3 * len(cells))]
    with ThreadPoolExecutor(4) as pool:
        for number, (once, again) in enumerate(zip(results, pool.map(corrupt, range(len(results))), strict=True)):
            cell, clean = cells[number // 3], clips[number % 3]
            assert once.shape == clean.shape, cell
            assert once.dtype == np.float32, cell
            assert np.isfinite(once).all(), cell
            assert not np.array_equal(once, clean), cell
            assert np.array_equal(once, again), cell
    assert all(np.array_equal(clip, original) for clip, original in zip(clips, originals, strict=True))
    for silence in (np.zeros(0, np.float32), np.zeros(500, np.float32)):
        for cell in cells:
            assert np.array_equal(cell(silence, np.random.default_rng(0)), silence)


def test_levels_of_the_grid(noises: Path) -> None:
    cells = grid(["rain", "gain", "clipping", "mp3", "opus", "reverb", "telephone"], noise_folder=noises)
    levels: dict[str, list[tuple[str, float | None]]] = {}
    for cell in cells:
        levels.setdefault(cell.kind, []).append((cell.level, cell.value))
    assert levels == {
        "rain": [(f"{snr:g} dB", snr) for snr in (20, 15, 10, 5, 0, -5)],
        "gain": [("-30 dB", -30), ("-20 dB", -20), ("-10 dB", -10), ("10 dB", 10)],
        "clipping": [("1 %", 1), ("5 %", 5), ("20 %", 20)],
        "mp3": [("16 kbit/s", 16), ("32 kbit/s", 32)],
        "opus": [("8 kbit/s", 8), ("16 kbit/s", 16)],
        "reverb": [("hall", None), ("kitchen", None)],
        "telephone": [("", None)],
    }


@pytest.mark.parametrize("kind", ["white", "pink", "babble", "rain"])
def test_noise_cells_add_one_excerpt_at_every_ratio(kind: str, noises: Path, babble: list) -> None:
    clean = speech(1.3)
    added = []
    for cell in grid([kind, kind], noise_folder=noises, babble=babble):  # named twice, there once
        noise = cell(clean, np.random.default_rng(5), "s2").astype(np.float64) - clean
        assert level_db(clean) - level_db(noise) == pytest.approx(cell.value, abs=0.01)
        added.append(noise / np.sqrt(np.mean(noise**2)))
    assert len(added) == len(SNR_DB)
    for noise in added:
        assert np.corrcoef(noise, added[0])[0, 1] > 0.9999


def test_babble_leaves_the_speaker_out(babble: list) -> None:
    cell = grid(["babble"], snr_db=(0,), babble=babble)[0]
    clean = speech(0.3)
    with_all = [cell(clean, np.random.default_rng(1), speaker) for speaker in ("s0", "s1")]
    assert not np.array_equal(*with_all)  # of seven speakers, six others: another set for each


@pytest.mark.parametrize("kind", ["mp3", "opus", "telephone", "reverb", "clipping"])
@pytest.mark.parametrize("seconds", [0.43, 2.0])
def test_a_clip_stays_in_its_place(kind: str, seconds: float, noises: Path) -> None:
    clean = speech(seconds)
    for cell in grid([kind], noise_folder=noises):
        assert abs(lag_seconds(clean, cell(clean, np.random.default_rng(0)))) < 0.001, cell


@pytest.mark.parametrize("kind", ["mp3", "opus"])
def test_nominal_rate_is_the_rate_of_the_file(kind: str) -> None:
    clean = speech(8.0)
    for cell in grid([kind]):
        assert len(encode(clean, kind, cell.value)) * 8 / 8.0 / 1_000 == pytest.approx(cell.value, rel=0.15)


@pytest.mark.parametrize("kind", ["mp3", "opus"])
def test_the_lower_rate_costs_more(kind: str) -> None:
    clean = speech(2.0)
    losses = [level_db(cell(clean, np.random.default_rng(0)) - clean) for cell in grid([kind])]
    assert losses[0] > losses[1] + 1.0
    assert losses[0] < level_db(clean)  # still the same clip


def test_mp3_below_40_kbit_is_aligned_as_above() -> None:
    # At 64 kbit/s LAME's header states the delay and libsndfile takes it off itself.
    clean = speech(1.0)
    assert lag_seconds(transcode(clean, "mp3", 64), transcode(clean, "mp3", 32)) == 0.0


def test_a_codec_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise soundfile.LibsndfileError(25)

    monkeypatch.setattr(soundfile, "SoundFile", refuse)
    for kind in CODECS:
        with pytest.raises(UsageError, match=f"cannot write {kind} .*leave {kind} out"):
            grid([kind])
    assert len(grid(["gain"])) == 4


def test_telephone_passes_its_band_only() -> None:
    noise = np.random.default_rng(0).standard_normal(4 * RATE).astype(np.float32) * 0.1
    before, after = (np.abs(np.fft.rfft(signal)) ** 2 for signal in (noise, telephone(noise)))
    hertz = np.fft.rfftfreq(len(noise), 1 / RATE)

    def change_db(low: float, high: float) -> float:
        band = (hertz >= low) & (hertz < high)
        return float(10 * np.log10(after[band].sum() / before[band].sum()))

    assert change_db(3_600, 8_000) < -40
    assert change_db(0, 150) < -25  # quantisation noise is left
    for low in range(400, 3_200, 400):
        assert change_db(low, low + 400) == pytest.approx(0.0, abs=0.5)


def test_mu_law_is_that_of_g711() -> None:
    signal = np.linspace(-1.2, 1.2, 20_001).astype(np.float32)
    decoded = mu_law(signal, 8_000)
    values = np.unique(decoded)
    assert len(values) in (255, 256)  # 8 bits; +0 and -0 are one value
    assert values == pytest.approx(-values[::-1], abs=1e-6)
    steps = np.diff(values[values > 0])
    assert steps[-1] / steps[0] == pytest.approx(128.0, rel=0.01)  # eight segments, each twice as coarse
    assert np.abs(decoded - np.clip(signal, -1, 1)).max() < 1 / 32  # half of the coarsest step


def test_a_room_keeps_the_level_and_only_rings_on(noises: Path) -> None:
    clean = np.zeros(RATE, np.float32)
    clean[4_000:4_400] = speech(0.025)
    for cell in grid(["reverb"], noise_folder=noises):
        wet = cell(clean, np.random.default_rng(0))
        assert level_db(wet) == pytest.approx(level_db(clean), abs=0.01)
        assert level_db(wet[4_500:8_000]) > level_db(clean) - 40
        assert not clean[4_500:8_000].any()


def test_reverb_is_convolution() -> None:
    response = np.array([0.1, 1.0, 0.0, -0.5], np.float32)  # direct sound at the second sample
    clean = speech(0.4)
    expected = np.convolve(clean, response)[1 : 1 + len(clean)]
    wet = reverberate(clean, response)
    assert wet / wet.std() == pytest.approx(expected / expected.std(), abs=1e-4)


def test_gain_scales_past_full_scale() -> None:
    clean = speech(0.2)
    assert gain(clean, 10.0) == pytest.approx(clean * 3.16228, rel=1e-5)
    assert np.abs(gain(clean, 10.0)).max() > 1.5
    assert level_db(gain(clean, -30.0)) == pytest.approx(level_db(clean) - 30, abs=1e-3)


@pytest.mark.parametrize("percent", [1.0, 5.0, 20.0])
@pytest.mark.parametrize("padding", [0, 30_000])
def test_clipping_takes_a_share_of_the_samples(percent: float, padding: int) -> None:
    clean = np.concatenate([speech(0.9), np.zeros(padding, np.float32)])
    for level in (0.01, 1.0):
        clipped = clip_peaks(level * clean, percent)
        peak = np.abs(clipped).max()
        assert np.mean(np.abs(clipped[:14_400]) == peak) == pytest.approx(percent / 100, abs=1e-3)
        assert np.array_equal(clipped, np.clip(np.float32(level) * clean, -peak, peak))


def test_wrong_use_says_what_to_do(noises: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r'unknown corruption "rian" \(did you mean "rain"\?\)'):
        grid(["rian"], noise_folder=noises)
    with pytest.raises(UsageError, match='unknown corruption "rain"'):
        grid(["rain"])
    with pytest.raises(UsageError, match='unknown corruption "rir"'):
        grid(["rir"], noise_folder=noises)
    with pytest.raises(UsageError, match="reverb needs impulse responses"):
        grid(["reverb"])
    with pytest.raises(CorpusError, match="no impulse responses"):
        grid(["reverb"], rir_folder=tmp_path)
    with pytest.raises(CorpusError, match="at least 7 speakers, not 0"):
        grid(["babble"])
    for snr in (float("nan"), float("inf"), -200.0):
        with pytest.raises(UsageError, match=r"^SNR of "):
            grid(["white"], snr_db=[snr])
    soundfile.write(tmp_path / "room.wav", np.zeros(100), RATE)
    with pytest.raises(CorpusError, match="silent impulse response"):
        grid(["reverb"], rir_folder=tmp_path)
    (tmp_path / "pink").mkdir()
    (tmp_path / "room.wav").rename(tmp_path / "pink" / "a.wav")
    with pytest.raises(UsageError, match='"pink" is built in'):
        grid(["pink"], noise_folder=tmp_path)


def test_the_record_names_what_was_mixed(noises: Path, tmp_path: Path) -> None:
    record = noise_files(["white", "rain", "reverb"], noises)
    assert {kind: used["files"] for kind, used in record.items()} == {
        "rain": ["rain/test/a.flac", "rain/test/b.flac"],
        "reverb": ["hall.flac", "kitchen.flac"],
    }
    for file in noises.rglob("*.flac"):
        copy = tmp_path / file.relative_to(noises)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    assert noise_files(["rain", "reverb"], tmp_path) == record  # wherever the folder lies
    changed = tmp_path / "rain" / "test" / "a.flac"
    soundfile.write(changed, np.full(800, 0.1), RATE)
    assert noise_files(["rain"], tmp_path)["rain"]["sha256"] != record["rain"]["sha256"]
    assert noise_files(["gain"]) == {}


def test_real_speech_stays_in_its_place(real_data: Path) -> None:
    for file in sorted((real_data / "emodb").rglob("*.flac"))[:3]:
        clean = read_audio(file)
        for cell in grid(["mp3", "opus", "telephone"]):
            assert abs(lag_seconds(clean, cell(clean, np.random.default_rng(0)))) < 0.001, (file.name, cell)
