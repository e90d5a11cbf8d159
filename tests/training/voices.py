"""Synthesised sounds: seeded ones with structure, and a corpus whose classes differ in pitch and noise."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

RATE = 16_000  # Hz
CLASSES = {"happy": 3_000.0, "sad": 250.0, "angry": 0.0}  # Hz of a tone; 0 is noise
SPEAKERS = ("s1", "s2", "s3", "s4", "s5", "s6")

TINY = """
name: tiny
corpus: {{sources: [{{name: {table}}}]}}
split: {{dev_speakers: {{voices: [s5, s6]}}}}
student:
  size: nano
  arguments: {{stem: 8, blocks: [[8, 2, 2], [12, 2, 1]], frame_channels: 16, context: 1, attention: 8, embedding: 8,
    per_band: false}}  # steady sounds have nothing left once each band loses its mean
augment: {{speed: 0.1, gain_db: 6, mixup_alpha: 0.3, mel_shift: 1,
  noise: {{kinds: [coloured, pink], probability: 0.3}}}}
optim: {{epochs: 8, batch: 6, lr: 1e-2, average: 0.5, patience: 0}}
export: {{calibration_clips: 8}}
"""


def sound(seed: int, samples: int) -> npt.NDArray[np.float32]:
    """Noise that falls with frequency, with a tone of its own, float32 at 16 kHz, peak 0.5."""
    random = np.random.default_rng(seed)
    signal = np.convolve(random.normal(0.0, 1.0, samples), 0.9 ** np.arange(100))[:samples]
    tone = np.sin(2.0 * np.pi * random.uniform(200.0, 3_000.0) * np.arange(samples) / RATE)
    mixed = signal / np.abs(signal).max() + random.uniform(0.1, 1.0) * tone * np.hanning(samples)
    return (0.5 * mixed / np.abs(mixed).max()).astype(np.float32)


def voice(emotion: str, seed: int) -> npt.NDArray[np.float32]:
    """0.4 to 0.8 s of a class: a tone around its pitch with some noise, or noise alone."""
    random = np.random.default_rng(seed)
    samples = int(random.uniform(0.4, 0.8) * RATE)
    signal = 0.05 * random.normal(0.0, 1.0, samples)
    if hertz := CLASSES[emotion]:
        signal += 0.3 * np.sin(2.0 * np.pi * hertz * random.uniform(0.9, 1.1) * np.arange(samples) / RATE)
    return signal.astype(np.float32)


def write_corpus(folder: Path, clips: int = 3) -> Path:
    """Write a table of `clips` clips for each speaker and class, and their audio; returns the table."""
    folder.mkdir(parents=True)
    rows = ["path,corpus,speaker,emotion"]
    for number, speaker in enumerate(SPEAKERS):
        for kind, emotion in enumerate(CLASSES):
            for clip in range(clips):
                name = f"{speaker}-{emotion}-{clip}.wav"
                soundfile.write(folder / name, voice(emotion, 100 * number + 10 * kind + clip), RATE)
                rows.append(f"{name},voices,{speaker},{emotion}")
    table = folder / "voices.csv"
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return table
