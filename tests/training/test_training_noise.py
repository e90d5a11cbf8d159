"""Noise and rooms for training clips: the ratio, whose sounds, the same in any process; the teacher hears none."""

import itertools
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch", reason='needs the extra "train"')

from sercli.audio import read_audio  # noqa: E402
from sercli.corpora.table import Utterance  # noqa: E402
from sercli.errors import CorpusError, RecipeError  # noqa: E402
from sercli.noise import noise_types, sounding  # noqa: E402
from sercli.training.data import MIN_SAMPLES, BalancedLengthSampler, Clips, Draw, collate  # noqa: E402
from sercli.training.lessons import Lessons  # noqa: E402
from sercli.training.noise import TrainingNoise, training_noise  # noqa: E402
from sercli.training.recipe import AugmentPart, NoisePart  # noqa: E402
from sercli.training.store import AudioStore  # noqa: E402

RATE = 16_000  # Hz
TYPES = ("rain", "helicopter", "chainsaw", "sea_waves")
KINDS = (*TYPES, "babble", "white", "pink", "coloured")
TRAIN_HZ, TEST_HZ = 1_000, 3_000  # of recordings for training, and of those for tests
VOICES_HZ = [200 + 50 * number for number in range(9)]  # of speakers s0 to s8


def tone(hertz: float, samples: int, level: float = 0.1) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hertz * np.arange(samples) / RATE + 0.5)).astype(np.float32)


def hears(signal: np.ndarray, hertz: float) -> float:
    """Amplitude of a frequency, in a signal of whole tenths of a second."""
    return float(2 * np.abs(np.fft.rfft(signal)[round(hertz * len(signal) / RATE)]) / len(signal))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise types with a tone of one pitch on the training side and of another on the test side; two rooms."""
    home = tmp_path_factory.mktemp("noise")
    for kind, (side, hertz) in itertools.product(TYPES, (("train", TRAIN_HZ), ("test", TEST_HZ))):
        (home / kind / side).mkdir(parents=True)
        sound = np.concatenate([tone(hertz, RATE), np.zeros(RATE, np.float32)])  # filled up, as in ESC-50
        soundfile.write(home / kind / side / "a.flac", sound, RATE)
    (home / "unseen" / "test").mkdir(parents=True)
    soundfile.write(home / "unseen" / "test" / "a.flac", tone(TEST_HZ, RATE), RATE)
    (home / "rir").mkdir()
    for name, delay in (("near", 400), ("far", 800)):  # one echo each
        response = np.zeros(RATE // 10, np.float32)
        response[100], response[100 + delay] = 0.9, 0.45
        soundfile.write(home / "rir" / f"{name}.flac", response, RATE)
    return home


def people(samples: int = RATE, silence: int = 0) -> tuple[list[Utterance], AudioStore]:
    """A clip of each of nine speakers, a tone of their own, with digital silence before and after it."""
    utterances = [Utterance(f"{n}", corpus="x", speaker=f"s{n}", emotion="happy") for n in range(len(VOICES_HZ))]
    clips = [np.pad(np.rint(9_000 * tone(hertz, samples, 1.0)), silence) for hertz in VOICES_HZ]
    offsets = np.cumsum([0, *map(len, clips)])
    return utterances, AudioStore(np.concatenate(clips).astype(np.int16), offsets)


def loaded(folder: Path, *kinds: str, store: AudioStore | None = None, **values: Any) -> TrainingNoise:
    utterances, own = people()
    values = {"kinds": kinds, "folder": str(folder), "probability": 1.0, **values}
    noise = training_noise(NoisePart(**values), utterances, store or own)
    assert noise is not None
    return noise


def clips_in(noise: TrainingNoise | None, silence: int = 0, **augment: Any) -> Clips:
    utterances, store = people(silence=silence)
    part = AugmentPart(**{"trim_seconds": 0.0, **augment})
    return Clips(utterances, store, ["happy"], part, noise=noise)


@pytest.mark.parametrize("kind", KINDS)
def test_the_ratio_holds_over_what_is_not_silent(kind: str, folder: Path) -> None:
    for snr_db, silence in itertools.product((-5.0, 7.5, 20.0), (0, 5_000)):
        noisy = clips_in(loaded(folder, kind, snr_db=(snr_db, snr_db)), silence)
        _, store = people(silence=silence)
        for index in range(3):
            clean = store[index].astype(np.float64)
            added = noisy[Draw(index, (1, index))]["waveform"] - clean
            inside = sounding(store[index])
            assert inside.sum() == RATE
            ratio = 10 * math.log10(np.mean(clean[inside] ** 2) / np.mean(added[inside] ** 2))
            assert ratio == pytest.approx(snr_db, abs=0.01)


def test_ratios_kinds_and_the_share_of_clips_are_drawn(folder: Path) -> None:
    noise = loaded(folder, "rain", "white", snr_db=(0.0, 10.0), probability=0.5)
    clean = people()[1][0].astype(np.float64)
    added = [noise(people()[1][0], 0, np.random.default_rng(seed)) - clean for seed in range(200)]
    noisy = [one for one in added if one.any()]
    assert len(noisy) / 200 == pytest.approx(0.5, abs=0.1)
    ratios = [10 * math.log10(np.mean(clean**2) / np.mean(one**2)) for one in noisy]
    assert -0.01 < min(ratios) < 1
    assert 9 < max(ratios) < 10.01
    tonal = [hears(one, TRAIN_HZ) > 0.9 * math.sqrt(2 * np.mean(one**2)) for one in noisy]
    assert np.mean(tonal) == pytest.approx(0.5, abs=0.15)


def test_no_recording_for_tests_is_heard(folder: Path) -> None:
    for kind in TYPES:
        noise = loaded(folder, kind, snr_db=(0.0, 0.0))
        for seed in range(5):
            noisy = noise(people()[1][0], 0, np.random.default_rng(seed))
            assert hears(noisy, TRAIN_HZ) > 8_900
            assert hears(noisy, TEST_HZ) < 10
    used = {file for files in noise_types(folder, "train").values() for file in files}
    assert not used & {file for files in noise_types(folder).values() for file in files}
    with pytest.raises(RecipeError, match=r'^augment\.noise\.kinds: nothing to train "unseen" with'):
        loaded(folder, "unseen")  # it has a test side alone


def test_babble_is_of_other_training_speakers(folder: Path) -> None:
    noise, (_, store) = loaded(folder, "babble", snr_db=(0.0, 0.0)), people()
    for seed, own in itertools.product(range(10), (0, 4)):
        added = noise(store[own], own, np.random.default_rng(seed)) - store[own]
        heard = [number for number, hertz in enumerate(VOICES_HZ) if hears(added, hertz) > 1_000]
        assert len(heard) == 6
        assert own not in heard
    few = people()[0][:6]
    with pytest.raises(CorpusError, match="babble needs clips of at least 7 speakers, not 6"):
        training_noise(NoisePart(("babble",), probability=1.0), few, store)


def test_rooms_ring_on_in_time_and_at_the_clips_level(folder: Path) -> None:
    noise = loaded(folder, probability=0.0, kinds=(), rir_folder=str(folder / "rir"), rir_probability=1.0)
    click = np.zeros(RATE, np.int16)
    click[4_000] = 10_000
    echoes = set()
    for seed in range(10):
        wet = noise(click, 0, np.random.default_rng(seed))
        assert np.argmax(np.abs(wet)) == 4_000
        assert float((wet.astype(np.float64) ** 2).sum()) == pytest.approx(1e8, rel=1e-3)
        echoes.add(int(np.argmax(np.abs(wet[4_100:]))) + 100)
    assert echoes == {400, 800}
    # what training uses of a folder with sides is what tests leave alone
    (folder / "rooms" / "train").mkdir(parents=True)
    with pytest.raises(CorpusError, match="no impulse responses"):
        loaded(folder, probability=0.0, kinds=(), rir_folder=str(folder / "rooms"), rir_probability=1.0)


def test_silence_stays_silent(folder: Path) -> None:
    noise = loaded(folder, "white", rir_folder=str(folder / "rir"), rir_probability=1.0)
    assert not noise(np.zeros(800, np.int16), 0, np.random.default_rng(0)).any()


@pytest.mark.parametrize("workers", [0, 2])
def test_the_same_seed_gives_the_same_mixtures_in_any_process(folder: Path, workers: int) -> None:
    noise = loaded(folder, *KINDS, rir_folder=str(folder / "rir"), rir_probability=0.5)
    clips = clips_in(noise, trim_seconds=0.3, speed=0.1)
    clips = pickle.loads(pickle.dumps(clips))  # as a worker that is spawned gets them

    def epoch(number: int, workers: int) -> list[torch.Tensor]:
        sampler = BalancedLengthSampler(np.full(9, 2.0), np.full(9, RATE), batch=4, seed=3)
        sampler.set_epoch(number)
        loader = torch.utils.data.DataLoader(clips, 4, sampler=sampler, num_workers=workers, collate_fn=collate)
        return [batch["waveform"] for batch in loader]

    torch.manual_seed(workers)
    first, again, next_epoch = epoch(0, 0), epoch(0, workers), epoch(1, 0)
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    assert not all(torch.equal(one, other) for one, other in zip(first, next_epoch, strict=True))
    one, twice = (clips[Draw(5, (3, 0, place))]["waveform"] for place in (1, 2))  # of one epoch
    assert not np.array_equal(one, twice)


@pytest.mark.parametrize("count", [50, 49, 7])
def test_the_teacher_hears_the_clean_stretch_that_the_student_hears_in_noise(folder: Path, count: int) -> None:
    """Each frame of the teacher holds its own number, and so does the clip's sound, in the samples that it covers."""
    frames = np.arange(count, dtype=np.float16)[:, None, None]
    samples = 100 * (1 + np.arange(RATE) * count // RATE)  # frame numbers plus one, in hundreds
    store = AudioStore(samples.astype(np.int16), np.array([0, RATE]))
    lessons = Lessons(frames=lambda index: frames)
    noise = loaded(folder, "white", snr_db=(30.0, 30.0))
    utterances = [Utterance("a", corpus="x", speaker="s0", emotion="happy")]
    part = AugmentPart(trim_seconds=0.4, max_seconds=0.5)
    clean = Clips(utterances, store, ["happy"], part, lessons=lessons)
    noisy = Clips(utterances, store, ["happy"], part, lessons=lessons, noise=noise)
    starts = set()
    for seed in range(30):
        heard, spoilt = clean[Draw(0, (seed,))], noisy[Draw(0, (seed,))]
        assert len(heard["waveform"]) == len(spoilt["waveform"]) >= MIN_SAMPLES
        assert not np.array_equal(heard["waveform"], spoilt["waveform"])
        taught = spoilt["lesson"]["frames"][:, 0, 0].astype(int)
        assert np.array_equal(heard["lesson"]["frames"][:, 0, 0], taught)
        inner = np.unique(heard["waveform"][1:-1]) // 100 - 1
        assert inner.tolist() == taught.tolist()
        starts.add(int(taught[0]))
    assert len(starts) > 1


def test_wrong_noise_says_what_to_do(folder: Path, tmp_path: Path) -> None:
    utterances, store = people()

    def refused(error: type[Exception], message: str, **values: Any) -> None:
        with pytest.raises(error, match=message):
            training_noise(NoisePart(probability=1.0, **values), utterances, store)

    refused(RecipeError, r'^augment\.noise\.folder: "rain" is recorded noise; name the folder', kinds=("rain",))
    refused(RecipeError, r'nothing to train "rian" with \(did you mean', kinds=("rian",), folder=str(folder))
    refused(CorpusError, "no such folder", kinds=("rain",), folder=str(tmp_path / "none"))
    (tmp_path / "rain").mkdir()
    soundfile.write(tmp_path / "rain" / "a.wav", tone(100, 800), RATE)
    refused(CorpusError, r"no noise to train with; .*rain/train/NAME\.wav", kinds=("rain",), folder=str(tmp_path))
    assert training_noise(NoisePart(kinds=("rain",)), utterances, store) is None
    assert read_audio(tmp_path / "rain" / "a.wav").any()
