"""What the robustness grid does to clean speech: one cell per kind of corruption and level of it.

    kind                  level             kind                  level
    a folder of noise     20 dB ... -5 dB   mp3, opus             kbit/s
    white, pink, babble   20 dB ... -5 dB   telephone             G.711 at 300 to 3,400 Hz
    reverb                impulse response  gain, clipping        dB; share of samples

Samples may pass full scale (gain, noise, rooms): models take float samples, and clipping is a kind of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sercli.audio import SAMPLE_RATE
from sercli.errors import UsageError
from sercli.evaluation.codec import CODECS, fit, mu_law, transcode
from sercli.nearest import nearest
from sercli.noise import ROOMS, Babble, Recordings, Source, mix, noise_types, pink, white
from sercli.reverberation import convolve, impulse_response, reverberate, rooms

Signal = npt.NDArray[np.float32]

SNR_DB = (20.0, 15.0, 10.0, 5.0, 0.0, -5.0)
GAINS_DB = (-30.0, -20.0, -10.0, 10.0)
CLIPPED_PERCENT = (1.0, 5.0, 20.0)
KINDS = ("white", "pink", "babble", "reverb", *CODECS, "telephone", "gain", "clipping")
"""Kinds that need no folder of noise."""

MOST_DB = 100.0  # of an SNR, either way; beyond it float32 holds only one of the two
TELEPHONE_RATE = 8_000  # Hz
TELEPHONE_BAND = (300.0, 3_400.0)  # Hz
TELEPHONE_TAPS = 513  # 32 ms at 16 kHz: edges about 100 Hz wide


@dataclass(frozen=True)
class Corruption:
    """One cell of the grid; may be called from several threads at once."""

    kind: str
    """What is done: a key of the grid."""
    level: str
    """How much of it, for people: "10 dB", "16 kbit/s", "5 %", a room's name, or empty."""
    value: float | None
    """The level as a number: SNR or gain in dB, kbit/s, percent of samples; None if it has none."""
    change: Callable[[Signal, np.random.Generator, str], Signal]
    """Does it, for a clip that is not silent."""

    def __call__(self, signal: Signal, random: np.random.Generator, speaker: str = "") -> Signal:
        """Corrupt a clip.

        Args:
            signal: mono float32 at 16 kHz, shape (samples,); a silent clip comes back as it is
            random: decides everything that is left to chance: with the same seed for a clip in every cell,
                one excerpt of noise is heard at every SNR
            speaker: who speaks, "corpus/speaker", so that babble leaves their voice out; empty if unknown

        Returns:
            a new array of the same shape, float32, finite
        """
        return self.change(signal, random, speaker) if signal.any() else signal.copy()


def grid(
    kinds: Sequence[str],
    snr_db: Sequence[float] = SNR_DB,
    noise_folder: Path | None = None,
    rir_folder: Path | None = None,
    babble: Iterable[tuple[str, Callable[[], Signal]]] = (),
) -> list[Corruption]:
    """Expand kinds into all their cells and load what they need.

    Args:
        kinds: names in KINDS, or noise types of the folder
        snr_db: signal-to-noise ratios in dB of each kind of noise
        noise_folder: folders of noise recordings, as `noise_types` reads them
        rir_folder: room impulse responses; without it, the noise folder's `rir`
        babble: speaker ("corpus/speaker") and reader of each clip that babble may be made of

    Returns:
        cells in the order of kinds; clean speech is none of them

    Raises:
        UsageError: an unknown kind, an SNR out of range, reverb without impulse responses, a codec that the
            installed libsndfile cannot write.
        CorpusError: a folder holds no usable recordings, too few speakers for babble.
        AudioError: a recording cannot be read.
    """
    for snr in snr_db:
        if not abs(snr) <= MOST_DB:
            raise UsageError(f"SNR of {snr:g} dB; use -{MOST_DB:g} to {MOST_DB:g}")
    recorded = _recorded(kinds, noise_folder)
    cells: list[Corruption] = []
    for kind in dict.fromkeys(kinds):
        if kind in recorded:
            cells += _noise_cells(kind, Recordings.load(recorded[kind], kind), snr_db)
        elif kind in ("white", "pink"):
            cells += _noise_cells(kind, white if kind == "white" else pink, snr_db)
        elif kind == "babble":
            cells += _noise_cells(kind, Babble.load(babble), snr_db)
        elif kind == "reverb":
            for name, file in _rooms(noise_folder, rir_folder).items():
                cells.append(_fixed(kind, name, None, partial(reverberate, response=impulse_response(file))))
        elif kind in CODECS:
            for rate in CODECS[kind].rates:
                cell = _fixed(kind, f"{rate} kbit/s", rate, partial(transcode, name=kind, kbits=rate))
                # Tells at once if libsndfile cannot, and fills LAME's tables before several threads would.
                transcode(np.zeros(SAMPLE_RATE // 10, np.float32), kind, rate)
                cells.append(cell)
        elif kind == "telephone":
            cells.append(_fixed(kind, "", None, telephone))
        elif kind == "gain":
            cells += [_fixed(kind, f"{db:g} dB", db, partial(gain, gain_db=db)) for db in GAINS_DB]
        else:
            cells += [
                _fixed(kind, f"{share:g} %", share, partial(clip_peaks, percent=share)) for share in CLIPPED_PERCENT
            ]
    return cells


def noise_files(
    kinds: Sequence[str], noise_folder: Path | None = None, rir_folder: Path | None = None
) -> dict[str, dict[str, object]]:
    """Tell which recordings a grid uses, for the record of an evaluation.

    Returns:
        kind to `files`, names relative to the noise folder (reverb: to the folder of responses), and `sha256`
        over the files' names and contents, in that order

    Raises:
        UsageError, CorpusError: as in `grid`.
    """
    used = {}
    for kind, files in _recorded(kinds, noise_folder).items():
        used[kind] = _record({file.relative_to(noise_folder or "").as_posix(): file for file in files})
    if "reverb" in kinds:
        found = _rooms(noise_folder, rir_folder)
        used["reverb"] = _record({f"{name}{file.suffix}": file for name, file in found.items()})
    return used


def telephone(signal: Signal) -> Signal:
    """Send a clip through a wired telephone: 300 to 3,400 Hz, 8 kHz, 8 bits of G.711 mu-law.

    Args:
        signal: mono float32 at 16 kHz, shape (samples,); the line clips what passes full scale
    """
    import soxr

    low, high = TELEPHONE_BAND
    times = (np.arange(TELEPHONE_TAPS) - TELEPHONE_TAPS // 2) / SAMPLE_RATE
    ideal = 2.0 * high * np.sinc(2.0 * high * times) - 2.0 * low * np.sinc(2.0 * low * times)
    band_pass = (ideal * np.hamming(TELEPHONE_TAPS) / SAMPLE_RATE).astype(np.float32)
    narrow = soxr.resample(convolve(signal, band_pass, TELEPHONE_TAPS // 2), SAMPLE_RATE, TELEPHONE_RATE)
    return fit(soxr.resample(mu_law(narrow, TELEPHONE_RATE), TELEPHONE_RATE, SAMPLE_RATE), len(signal))


def gain(signal: Signal, gain_db: float) -> Signal:
    """Make a clip louder or softer; beyond full scale it is not clipped."""
    return signal * np.float32(10.0 ** (gain_db / 20.0))


def clip_peaks(signal: Signal, percent: float) -> Signal:
    """Clip a share of the samples, whatever the clip's level.

    Counted without digital silence: in a clip padded with zeros the threshold would sink to zero.
    """
    threshold = np.quantile(np.abs(signal[signal != 0]), 1.0 - percent / 100.0)
    return np.clip(signal, -threshold, threshold).astype(np.float32)


def _fixed(kind: str, level: str, value: float | None, change: Callable[[Signal], Signal]) -> Corruption:
    """Build a cell that leaves nothing to chance and does not ask who speaks."""
    return Corruption(kind, level, value, lambda signal, random, speaker: change(signal))


def _noise_cells(kind: str, source: Source, snr_db: Iterable[float]) -> list[Corruption]:
    def noisy(snr: float, signal: Signal, random: np.random.Generator, speaker: str) -> Signal:
        return mix(signal, source(len(signal), random, speaker), snr)

    return [Corruption(kind, f"{snr:g} dB", snr, partial(noisy, snr)) for snr in snr_db]


def _recorded(kinds: Iterable[str], noise_folder: Path | None) -> dict[str, list[Path]]:
    """Return the recordings of the kinds that are noise types; refuse unknown kinds."""
    types = noise_types(noise_folder) if noise_folder is not None else {}
    known = (*KINDS, *types)
    for kind in kinds:
        if kind not in known:
            raise UsageError(
                f'unknown corruption "{kind}"{nearest(kind, known)}; choose from {", ".join(known)}, '
                "or a folder of noise recordings"
            )
        if kind in KINDS and kind in types:
            raise UsageError(f'{noise_folder}: "{kind}" is built in and also a folder there; rename the folder')
    return {kind: types[kind] for kind in kinds if kind in types}


def _rooms(noise_folder: Path | None, rir_folder: Path | None) -> dict[str, Path]:
    folder = rir_folder or (noise_folder / ROOMS if noise_folder is not None else None)
    if folder is None or not folder.is_dir():
        raise UsageError(f'reverb needs impulse responses; put them into a folder "{ROOMS}" beside the noise types')
    return rooms(folder)


def _record(files: dict[str, Path]) -> dict[str, object]:
    digest = hashlib.sha256()
    for name, file in files.items():
        digest.update(name.encode() + b"\0" + file.read_bytes())
    return {"files": list(files), "sha256": digest.hexdigest()}
