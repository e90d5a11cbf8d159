"""Training audio, decoded and resampled once, kept as one memory-mapped int16 file."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from sercli.corpora.speech import at_speed, read_utterance
from sercli.corpora.table import Utterance
from sercli.errors import CorpusError, OutputError

FULL_SCALE = 32_767.0  # int16


class AudioStore:
    """Waveforms of a list of utterances, in its order.

    Args:
        samples: all clips end to end, int16, shape (total samples,)
        offsets: start of each clip and the end of the last, shape (clips + 1,)
    """

    def __init__(self, samples: npt.NDArray[np.int16], offsets: npt.NDArray[np.int64]) -> None:
        self.samples = samples
        self.offsets = offsets

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> npt.NDArray[np.int16]:
        """One clip, int16 at 16 kHz, shape (samples,)."""
        return self.samples[self.offsets[index] : self.offsets[index + 1]]

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Clip lengths in samples, shape (clips,)."""
        return np.diff(self.offsets)


def cache_folder() -> Path:
    """Where decoded audio is kept: $SERCLI_CACHE, else the user's cache folder."""
    if folder := os.environ.get("SERCLI_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sercli"


def open_store(utterances: Sequence[Utterance], folder: Path | None = None) -> AudioStore:
    """Decode the utterances' audio, or map what an earlier run decoded.

    Raises:
        CorpusError: a file is missing or cannot be read
        OutputError: the cache folder cannot be written
    """
    folder = (folder or cache_folder()) / "audio"
    base = folder / _key(utterances)
    index, audio = base.with_suffix(".json"), base.with_suffix(".i16")
    if not (index.exists() and audio.exists()):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _decode(utterances, index, audio)
        except OSError as problem:
            reason = problem.strerror
            raise OutputError(f"{folder}: cannot write decoded audio ({reason}); set SERCLI_CACHE") from problem
    offsets = np.asarray(json.loads(index.read_text(encoding="utf-8")), dtype=np.int64)
    return AudioStore(np.memmap(audio, dtype=np.int16, mode="r"), offsets)


def _key(utterances: Sequence[Utterance]) -> str:
    """Name a store after its files' paths, sizes and times, so that a changed corpus is decoded anew."""
    digest = hashlib.sha256()
    for utterance in utterances:
        try:
            facts = Path(utterance.path).stat()
        except OSError as problem:
            raise CorpusError(f"{utterance.path}: {problem.strerror}; run `sercli corpus check`") from problem
        stretch = f"{utterance.start}\t{utterance.end}{at_speed(utterance)}"
        line = f"{utterance.path}\t{facts.st_size}\t{facts.st_mtime_ns}\t{stretch}\n"
        digest.update(line.encode())
    return digest.hexdigest()[:24]


def _decode(utterances: Sequence[Utterance], index: Path, audio: Path) -> None:
    offsets = [0]
    partial = audio.with_suffix(f".{os.getpid()}.part")
    unfinished = index.with_suffix(f".{os.getpid()}.index.part")
    try:
        with partial.open("wb") as sink, ThreadPoolExecutor(os.cpu_count()) as pool:
            # A bounded number of clips in flight: a corpus of any size decodes in the same memory.
            for start in tqdm(range(0, len(utterances), 256), desc="decoding", unit="x256 clips", disable=None):
                for clip in pool.map(_clip, utterances[start : start + 256]):
                    sink.write(clip.tobytes())
                    offsets.append(offsets[-1] + len(clip))
        unfinished.write_text(json.dumps(offsets), encoding="utf-8")
        partial.replace(audio)
        unfinished.replace(index)
    finally:  # a full disk or Ctrl-C leaves no gigabytes behind
        partial.unlink(missing_ok=True)
        unfinished.unlink(missing_ok=True)


def _clip(utterance: Utterance) -> npt.NDArray[np.int16]:
    signal = read_utterance(utterance)
    samples: npt.NDArray[np.int16] = np.rint(np.clip(signal, -1.0, 1.0) * FULL_SCALE).astype(np.int16)
    return samples
