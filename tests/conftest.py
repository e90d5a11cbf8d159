"""Shared fixtures: synthesised signals, a tiny student with known answers, real data where it is there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import RATE, make_bundle, tone


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny student; not to be changed by a test."""
    return make_bundle(tmp_path_factory.mktemp("students") / "tiny")


@pytest.fixture(scope="session")
def speech_like() -> Callable[[int, float, int], np.ndarray]:
    """Build a signal of (rate, seconds, channels): a wandering tone with noise, the same every time."""

    def build(rate: int, seconds: float, channels: int) -> np.ndarray:
        rng = np.random.default_rng(7)
        time = np.arange(round(rate * seconds)) / rate
        voice = np.sin(2 * np.pi * (180 * time + 40 * np.sin(2 * np.pi * 1.3 * time)))
        noise = rng.standard_normal((len(time), channels))
        return (0.2 * voice[:, None] * (1 + np.arange(channels)) / channels + 0.02 * noise).astype(np.float32)

    return build


@pytest.fixture
def tones(tmp_path: Path) -> Path:
    """A folder with one file per class, a subfolder, a text file and a damaged file."""
    import soundfile

    folder = tmp_path / "tones"
    (folder / "sub").mkdir(parents=True)
    soundfile.write(folder / "a.wav", tone(200, 1.5), RATE)
    soundfile.write(folder / "b.flac", tone(3_000, 0.8, 44_100), 44_100)
    soundfile.write(folder / "sub" / "c.wav", tone(1_000, 2.25, 8_000), 8_000)
    (folder / "notes.txt").write_text("not audio")
    (folder / "broken.wav").write_text("this is text")
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real corpora, SERCLI_DATA; tests that need it are skipped without it."""
    folder = os.environ.get("SERCLI_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SERCLI_DATA does not name the folder of the real corpora")
    return Path(folder)
