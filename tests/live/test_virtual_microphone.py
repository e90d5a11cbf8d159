"""The real thing: PortAudio, a sound server, and speech played into its microphone; skipped where there is none."""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from ctypes.util import find_library
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
import soundfile

from tests.live.voice import voice
from tests.tiny import RATE

COMMAND = [sys.executable, "-W", "error", "-m", "sercli", "listen"]
SAMPLE = Path(__file__).parents[1] / "sample.flac"
PATIENCE_SECONDS = 30.0


class Server:
    """A private PulseAudio daemon, without sound card: what is played into its sink is heard by its microphone."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "native"
        home = {**os.environ, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), "PULSE_RUNTIME_PATH": str(folder)}
        self.process = subprocess.Popen(
            [
                "pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1",
                f"--load=module-native-protocol-unix socket={self.socket} auth-anonymous=1",
                f"--load=module-null-sink sink_name=speaker rate={RATE} channels=1 format=s16le",
                "--load=module-remap-source master=speaker.monitor source_name=microphone",
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=home,
        )  # fmt: skip
        self.environment = {**os.environ, "PULSE_SERVER": f"unix:{self.socket}", "HOME": str(folder)}
        end = time.monotonic() + PATIENCE_SECONDS
        while self.client("pactl", "set-default-source", "microphone").returncode:
            assert time.monotonic() < end
            assert self.process.poll() is None
            time.sleep(0.1)

    def client(self, *command: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(command, capture_output=True, check=False, env=self.environment)

    def play(self, path: Path) -> None:
        assert self.client("paplay", "--device=speaker", str(path)).returncode == 0

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


@pytest.fixture
def server() -> Iterator[Server]:
    for program in ("pulseaudio", "pactl", "paplay"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    if find_library("portaudio") is None:
        pytest.skip("PortAudio is not installed")
    with tempfile.TemporaryDirectory(prefix="mic") as folder:  # short: a socket path has 107 bytes at most
        started = Server(Path(folder))
        yield started
        started.stop()


class Listener:
    """`sercli listen` as a process, from its word "ready" on."""

    def __init__(self, server: Server, folder: Path, *arguments: object) -> None:
        self.errors = folder / "errors"
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [*COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, stderr=errors, env=server.environment
            )
        end = time.monotonic() + PATIENCE_SECONDS
        while "ready" not in self.errors.read_text():
            assert time.monotonic() < end, self.errors.read_text()
            assert self.process.poll() is None, self.errors.read_text()
            time.sleep(0.05)

    def ended(self, number: int | None = signal.SIGINT) -> tuple[int, list[dict[str, Any]], str]:
        """Exit code, hops, and standard error, after a signal if any."""
        if number is not None:
            self.process.send_signal(number)
        stdout: IO[bytes] | None = self.process.stdout
        assert stdout is not None
        out, _ = self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode, [json.loads(line) for line in out.splitlines()], self.errors.read_text()


def test_devices(server: Server) -> None:
    done = subprocess.run([*COMMAND, "--devices"], capture_output=True, check=True, env=server.environment)
    names = {device["name"]: device for device in map(json.loads, done.stdout.splitlines())}
    assert names["default"]["default"]
    assert done.stderr == b""


def test_no_microphone(server: Server) -> None:
    """PortAudio without sound card and sound server: one line, though ALSA has more to say."""
    environment = {**server.environment, "PULSE_SERVER": "unix:/nonexistent"}
    done = subprocess.run([*COMMAND], capture_output=True, text=True, check=False, env=environment)
    if done.returncode == 0 or "no microphone found" not in done.stderr:
        pytest.skip("this machine has a sound card")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)


def test_spoken_words(server: Server, tiny_bundle: Path, tmp_path: Path) -> None:
    """The right label at the right second; the recording gives the same scores again; latency."""
    clip = tmp_path / "clip.wav"
    soundfile.write(clip, np.concatenate([voice(200, 3.0), np.zeros(2 * RATE), voice(3_000, 3.0)]), RATE)
    kept = tmp_path / "kept.wav"
    listener = Listener(server, tmp_path, "-m", tiny_bundle, "--window", 1, "--record", kept)
    server.play(clip)
    code, hops, errors = listener.ended()
    assert code == 0
    assert "lost" not in errors
    assert " heard: " in errors.splitlines()[-1]

    heard, rate = soundfile.read(kept)
    begin = int(np.argmax(np.abs(heard) > 0.01)) / rate  # of the clip
    for hop in hops:
        at = hop["end"] - begin
        if 1.2 <= at <= 2.9:
            assert hop["label"] == "sad"
        elif 4.3 <= at <= 5.0 or at <= 0.0:
            assert hop["label"] is None
        elif 6.2 <= at <= 7.9:
            assert hop["label"] == "angry"
    assert {hop["label"] for hop in hops} >= {"sad", "angry", None}

    again = subprocess.run(
        [*COMMAND[:-1], "predict", str(kept), "-m", str(tiny_bundle), "--timeline", "--window", "1", "--hop", "0.25"],
        capture_output=True,
        check=True,
    )
    rows = [json.loads(line) for line in again.stdout.splitlines()]
    assert len(rows) == len(hops)
    for hop, row in zip(hops, rows, strict=True):
        if hop["level_db"] > -60.0:  # quieter, 16 bits are coarse
            assert hop["scores"] == pytest.approx(row["scores"], abs=1e-3)

    assert statistics.median(hop["latency_ms"] for hop in hops) < 100.0


def test_bundled_student_hears_the_sample(server: Server, tmp_path: Path) -> None:
    clip = tmp_path / "sample.wav"
    soundfile.write(clip, *soundfile.read(SAMPLE))
    listener = Listener(server, tmp_path)
    server.play(clip)
    code, hops, _ = listener.ended()
    assert code == 0
    claimed = [hop for hop in hops if hop["speech"]]
    assert len(claimed) >= 4  # of about 12; the last ones come when the clip has ended
    assert "happy" in {max(hop["scores"], key=hop["scores"].get) for hop in claimed}  # if not surely enough to be said


def test_the_sound_server_ends(server: Server, tiny_bundle: Path, tmp_path: Path) -> None:
    """Its end is an error, not a hang."""
    listener = Listener(server, tmp_path, "-m", tiny_bundle, "--window", 1)
    server.stop()
    code, _, errors = listener.ended(number=None)
    assert code == 1
    assert errors.splitlines()[-1].startswith("sercli: error: default: ")
