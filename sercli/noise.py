"""Noise added to clean speech at a signal-to-noise ratio: synthesised, recorded, or made of other speakers.

A source is called with (samples, random, speaker) and returns that many samples of noise at any level:

    white, pink, coloured ────────────────┐
    Recordings  one excerpt of one file   ├─ mix(signal, noise, snr_db)
    Babble      six speakers, not this one┘
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from sercli.audio import SAMPLE_RATE, read_audio
from sercli.corpora.corpus import audio_files
from sercli.errors import CorpusError

Signal = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Item = TypeVar("Item")
Source = Callable[[int, np.random.Generator, str], Signal]
"""Samples wanted, random generator, and the speaker ("corpus/speaker") of the clip it is for."""

DEPTH = 8  # folders below a noise type; enough for any tree, and an end for a looping link
SIDES = ("train", "test")  # folders in a noise type
ROOMS = "rir"  # folder of room impulse responses beside the noise types
PADDING_SAMPLES = 320  # 20 ms: digital zeros for at least this long are padding, fewer are a quiet passage
PINK_LOWEST_HZ = 20.0
STEEPEST = 2.0  # exponent of the power's fall with frequency: brown noise, 6 dB per octave
BABBLE_SPEAKERS = 6  # at once; single words are understood among fewer
BABBLE_CLIPS = 128  # kept decoded, spread over all speakers
BABBLE_SAMPLES = 10 * SAMPLE_RATE  # kept of each: 82 MB in all at most


def mix(signal: Signal, noise: Signal, snr_db: float, over: Mask | None = None) -> Signal:
    """Add noise at a signal-to-noise ratio, powers as mean squares (RobustDistiller).

    noisy = x + sqrt(K) n with K = (P_x / P_n) 10^(-SNR/10). The sum may pass full scale: models take
    float samples, and clipping would be a second corruption.

    Args:
        signal: mono float32, shape (samples,); a silent one stays as it is
        noise: the same shape, any level
        snr_db: ratio in dB
        over: samples that the powers are taken over; None: the whole clip

    Raises:
        CorpusError: the noise is silent.
    """
    noise_power = power(noise if over is None else noise[over])
    if noise_power == 0.0:
        raise CorpusError(f"{len(noise)} samples of noise are all zero; use recordings that sound throughout")
    scale = np.sqrt(power(signal if over is None else signal[over]) / noise_power * 10.0 ** (-snr_db / 10.0))
    noisy: Signal = (signal + scale * noise.astype(np.float64)).astype(np.float32)
    return noisy


def power(signal: Signal) -> float:
    """Mean square."""
    return float(np.mean(np.square(signal, dtype=np.float64)))


def white(samples: int, random: np.random.Generator, speaker: str = "") -> Signal:
    """Gaussian noise: the same power at every frequency."""
    return random.standard_normal(samples, dtype=np.float32)


def pink(samples: int, random: np.random.Generator, speaker: str = "") -> Signal:
    """Noise whose power falls by 3 dB per octave (1/f), drawn in the frequency domain.

    Without a lower limit each octave below hearing would take as much power as one above, and the audible
    part would depend on the clip's length; so it starts at 20 Hz.
    """
    size = 1 << max(samples - 1, SAMPLE_RATE // 10).bit_length()
    hertz = np.fft.rfftfreq(size, 1.0 / SAMPLE_RATE)
    amplitude = np.where(hertz < PINK_LOWEST_HZ, 0.0, 1.0 / np.sqrt(np.maximum(hertz, PINK_LOWEST_HZ)))
    spectrum = random.standard_normal(2 * len(hertz)).view(np.complex128) * amplitude
    noise: Signal = np.fft.irfft(spectrum, size)[:samples].astype(np.float32)
    return noise


def coloured(samples: int, random: np.random.Generator, speaker: str = "") -> Signal:
    """Noise whose power falls with frequency to a random exponent, from white (0) over pink (1) to brown (2)."""
    size = 1 << max(samples - 1, 1).bit_length()  # transforms of other sizes can be many times slower
    spectrum = np.fft.rfft(white(size, random))
    spectrum *= np.arange(1, len(spectrum) + 1, dtype=np.float32) ** (-random.uniform(0.0, STEEPEST) / 2.0)
    return np.fft.irfft(spectrum, size)[:samples].astype(np.float32)


@dataclass(frozen=True)
class Recordings:
    """Recorded noise: for each clip an excerpt, at random, of a recording chosen at random."""

    recordings: tuple[Signal, ...]
    """Mono float32 at 16 kHz, without digital silence."""

    @classmethod
    def load(cls, files: Iterable[Path], kind: str) -> Recordings:
        """Decode recordings; silent ones are left out.

        Raises:
            AudioError: a file cannot be read.
            CorpusError: none is left.
        """
        recordings = tuple(sound for file in files if len(sound := without_padding(read_audio(file))))
        if not recordings:
            raise CorpusError(f"noise {kind}: every recording is silent; put recordings that sound into its folder")
        return cls(recordings)

    def __call__(self, samples: int, random: np.random.Generator, speaker: str = "") -> Signal:
        """Noise of the length asked for, shape (samples,)."""
        return excerpt(self.recordings[random.integers(len(self.recordings))], samples, random)


@dataclass(frozen=True)
class Babble:
    """Six people talking at once, none of them the speaker of the clip."""

    voices: Mapping[str, tuple[Signal, ...]]
    """Speaker to clips at unit power, mono float32 at 16 kHz."""

    @classmethod
    def load(cls, clips: Iterable[tuple[str, Callable[[], Signal]]]) -> Babble:
        """Decode up to BABBLE_CLIPS clips, evenly over speakers and over each speaker's list.

        Args:
            clips: speaker, and a function that reads a clip of theirs, mono float32 at 16 kHz

        Raises:
            AudioError: a clip cannot be read.
            CorpusError: fewer than seven speakers: the clip's own and six others.
        """
        readers: dict[str, list[Callable[[], Signal]]] = {}
        for speaker, reader in clips:
            readers.setdefault(speaker, []).append(reader)
        voices = {}
        for speaker in _spread(sorted(readers), BABBLE_CLIPS):
            chosen = _spread(readers[speaker], max(1, BABBLE_CLIPS // len(readers)))
            sounds = (without_padding(reader())[:BABBLE_SAMPLES] for reader in chosen)
            levelled = tuple((sound / np.sqrt(power(sound))).astype(np.float32) for sound in sounds if len(sound))
            if levelled:
                voices[speaker] = levelled
        if len(voices) <= BABBLE_SPEAKERS:
            raise CorpusError(
                f"babble needs clips of at least {BABBLE_SPEAKERS + 1} speakers, not {len(voices)}; "
                "take it from a corpus with more speakers, or leave babble out"
            )
        return cls(voices)

    def __call__(self, samples: int, random: np.random.Generator, speaker: str = "") -> Signal:
        """Sum of one excerpt of each of six speakers other than `speaker`, shape (samples,)."""
        others = [other for other in self.voices if other != speaker]
        total = np.zeros(samples, np.float32)
        for chosen in random.choice(len(others), BABBLE_SPEAKERS, replace=False):
            clips = self.voices[others[chosen]]
            total += excerpt(clips[random.integers(len(clips))], samples, random)
        return total


def excerpt(recording: Signal, samples: int, random: np.random.Generator) -> Signal:
    """Cut a random stretch; a recording that is too short goes round, from a random start.

    The seam needs no cross-fade: it is one step, no higher than the noise itself, in seconds of noise, and a
    fade would leave a dip in the power instead.
    """
    length = len(recording)
    start = random.integers(length - samples + 1 if length >= samples else length)
    if length >= samples:
        return recording[start : start + samples]
    return np.take(recording, np.arange(start, start + samples), mode="wrap")


def without_padding(signal: Signal) -> Signal:
    """Drop digital silence anywhere in a recording, so that noise power is measured over what sounds."""
    return signal[sounding(signal)]


def sounding(signal: npt.NDArray[np.generic]) -> Mask:
    """Mark the samples of a recording that are no digital silence.

    Collections of clips of one length (ESC-50) fill short recordings up with zeros, and cut speech has them at its
    ends. Single zeros and short runs of them are samples of a quiet passage and count as sound.
    """
    edges = np.flatnonzero(np.diff(signal == 0, prepend=False, append=False))
    keep = np.ones(len(signal), dtype=bool)
    for start, end in edges.reshape(-1, 2):
        if end - start >= PADDING_SAMPLES or end - start == len(signal):
            keep[start:end] = False
    return keep


def noise_types(folder: Path, side: str = "test") -> dict[str, list[Path]]:
    """Find the recordings of each noise type that may be used on one side.

    Each sub-folder with audio is a type; a folder that holds audio itself, or `train` and `test`, is one type.
    Training uses what lies under a type's `train` folder and nothing else. Tests never use that, and with a `test`
    folder nothing but what is in there: a noise heard in training says little about noise.

    Returns:
        type to its audio files, sorted; the folder `rir` is no type

    Raises:
        CorpusError: the folder cannot be read or holds no recordings for that side.
    """
    if not folder.is_dir():
        raise CorpusError(f"{folder}: no such folder of noise recordings; check its path")
    one = next(audio_files(folder, depth=0), None) is not None or any((folder / s).is_dir() for s in SIDES)
    inner = [place for place in sorted(folder.iterdir()) if place.is_dir() and not place.name.startswith(".")]
    types = [folder] if one else [place for place in inner if place.name != ROOMS]
    found = {place.absolute().name: files for place in types if (files := recordings_of(place, side))}
    if not found and not (folder / ROOMS).is_dir():
        raise CorpusError(f"{folder}: no noise to {side} with; lay recordings out as {folder}/rain/{side}/NAME.wav")
    return found


def recordings_of(folder: Path, side: str) -> list[Path]:
    """Find the recordings of one noise type that a side may use, sorted; see `noise_types`."""
    if (folder / side).is_dir():
        return list(audio_files(folder / side, DEPTH))
    if side == "train":
        return []
    return [file for file in audio_files(folder, DEPTH) if file.relative_to(folder).parts[0] != "train"]


def _spread(items: Sequence[Item], wanted: int) -> list[Item]:
    """Take at most `wanted` items at even distances."""
    return [items[place * len(items) // wanted] for place in range(wanted)] if len(items) > wanted else list(items)
