"""A recording is a valid WAV file at every moment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sercli.errors import OutputError
from sercli.live import recorder as module
from sercli.live.recorder import Recorder
from tests.tiny import RATE, tone

KILLED = """
import os, sys
import numpy as np
from pathlib import Path
from sercli.live.recorder import Recorder
recorder = Recorder(Path(sys.argv[1]), 16_000, 1).__enter__()
for _ in range(130):
    recorder.write(np.full((160, 1), 0.25, np.float32))
os.kill(os.getpid(), 9)
"""


def test_samples(tmp_path: Path) -> None:
    signal = np.stack([tone(200, 1.3, 44_100), tone(300, 1.3, 44_100, amplitude=2.0)], axis=1)
    with Recorder(tmp_path / "a.wav", 44_100, 2) as recorder:
        for at in range(0, len(signal), 441):
            recorder.write(signal[at : at + 441])
    kept, rate = soundfile.read(tmp_path / "a.wav", dtype="float32")
    assert rate == 44_100
    assert np.abs(kept - np.clip(signal, -1.0, 1.0)).max() <= 2**-15
    assert recorder.seconds == pytest.approx(1.3)


def test_killed(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "a.wav")], check=False)
    assert done.returncode == -9
    kept, _ = soundfile.read(tmp_path / "a.wav")
    assert len(kept) == 130 * 160 // 8_000 * 8_000
    assert np.all(kept == 0.25)
    assert (tmp_path / "a.wav").stat().st_size == 44 + 2 * len(kept)


def test_nothing_heard(tmp_path: Path) -> None:
    with Recorder(tmp_path / "a.wav", RATE, 1):
        pass
    assert soundfile.info(tmp_path / "a.wav").frames == 0


def test_refuses(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("mine")
    with pytest.raises(OutputError, match="already exists; use --overwrite or another --record"):
        Recorder(tmp_path / "a.wav", RATE, 1)
    with pytest.raises(OutputError, match="folder does not exist"):
        Recorder(tmp_path / "none" / "a.wav", RATE, 1)
    with Recorder(tmp_path / "a.wav", RATE, 1, overwrite=True):
        pass


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")  # noqa: PTH110
def test_disk_full() -> None:
    with pytest.raises(OutputError, match="disk is full"), Recorder(Path("/dev/full"), RATE, 1, overwrite=True) as it:
        it.write(np.zeros((RATE, 1), np.float32))


def test_largest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_BYTES", 40_000)
    with Recorder(tmp_path / "a.wav", RATE, 1) as recorder:
        recorder.write(np.zeros((16_000, 1), np.float32))
        with pytest.raises(OutputError, match="4 GiB"):
            recorder.write(np.zeros((8_000, 1), np.float32))
    assert soundfile.info(tmp_path / "a.wav").frames == 16_000
