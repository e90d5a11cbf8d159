"""The live screen in a pseudo-terminal, as a person sees it; and what it leaves behind, however it ends."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.live.terminals import Terminal
from tests.live.voice import voice
from tests.tiny import RATE

HIDDEN, SHOWN = b"\x1b[?25l", b"\x1b[?25h"
ALTERNATE, NORMAL = b"\x1b[?1049h", b"\x1b[?1049l"


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five seconds of sad, two of silence, a minute of angry."""
    path = tmp_path_factory.mktemp("replay") / "voice.flac"
    quiet = 1e-4 * np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32)
    soundfile.write(path, np.concatenate([voice(200, 5.0), quiet, voice(3_000, 60.0)]), RATE)
    return path


def restored(terminal: Terminal) -> bool:
    """The terminal is as it was before."""
    sent = terminal.bytes
    leaves = sent.rfind(NORMAL) > sent.rfind(ALTERNATE) and sent.rfind(SHOWN) > sent.rfind(HIDDEN)
    return leaves and terminal.modes_now == terminal.modes


def test_what_a_person_sees(tiny_bundle: Path, recording: Path) -> None:
    with Terminal("-m", tiny_bundle, "--replay", recording, "--window", 1) as terminal:
        terminal.until(lambda: "sad  1." in terminal.text)
        lines = terminal.text.splitlines()
        assert lines[0].startswith(f"tiny listens to {recording}"[:40])
        assert lines[0].rstrip()[-9:].startswith("0:00:0")
        assert lines[2].startswith("level")
        rows = {line.split()[0]: line for line in lines if line.split()}
        assert rows["neutral"].split()[1].startswith("0.")
        assert "now" in rows["60"]
        terminal.until(lambda: "█" in terminal.text.splitlines()[2])
        assert "Ctrl-C ends" in terminal.text
        assert terminal.shown.cursor.hidden
        terminal.until(lambda: "no speech" in terminal.text)
        terminal.until(lambda: "angry  0." in terminal.text)
        # One steady screen: it is cleared when it opens, never again.
        assert terminal.bytes.count(b"\x1b[2J") == 2
        assert terminal.shown.buffer[4][0].bold
        terminal.process.send_signal(signal.SIGINT)
        code, err = terminal.ended()
        assert code == 0
        assert restored(terminal)
        assert "heard: sad" in err.splitlines()[-1]
        assert "Traceback" not in err


def test_resize(tiny_bundle: Path, recording: Path) -> None:
    with Terminal("-m", tiny_bundle, "--replay", recording, "--window", 1) as terminal:
        terminal.until(lambda: "sad  1." in terminal.text)
        terminal.resize(46, 11)
        terminal.until(lambda: terminal.bytes.count(b"\x1b[2J") == 3 and "Ctrl-C ends" in terminal.text)
        lines = terminal.text.splitlines()
        assert len([line for line in lines if line.startswith(("sad ", "neutral ", "angry "))]) >= 3
        terminal.resize(120, 30)
        terminal.until(lambda: terminal.bytes.count(b"\x1b[2J") == 4 and "Ctrl-C ends" in terminal.text)
        assert len(terminal.text.splitlines()[0].rstrip()) == 119


def test_no_colour_and_ascii(tiny_bundle: Path, recording: Path) -> None:
    command = ("-m", tiny_bundle, "--replay", recording, "--duration", 3, "--window", 1)
    with Terminal(*command, NO_COLOR="1", PYTHONUTF8="0", PYTHONIOENCODING="ascii") as terminal:
        terminal.until(lambda: "sad  1." in terminal.text)
        terminal.until(lambda: "#" in terminal.text.splitlines()[2])
        assert terminal.ended()[0] == 0
        assert b"\x1b[1m" not in terminal.bytes
        assert b"38;5" not in terminal.bytes
        assert terminal.bytes.isascii()


def test_dumb_terminal(tiny_bundle: Path, recording: Path) -> None:
    with Terminal(
        "-m", tiny_bundle, "--replay", recording, "--fast", "--window", 1, "--duration", 12, TERM="dumb"
    ) as terminal:
        assert terminal.ended()[0] == 0
        assert b"\x1b" not in terminal.bytes
        labels = [line.split()[1] for line in terminal.bytes.decode().splitlines()]
        assert labels == ["sad", "no", "angry"]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_ended_from_outside(tiny_bundle: Path, recording: Path, name: str) -> None:
    with Terminal("-m", tiny_bundle, "--replay", recording, "--window", 1) as terminal:
        terminal.until(lambda: "sad  1." in terminal.text)
        terminal.process.send_signal(getattr(signal, name))
        code, err = terminal.ended()
        assert (code, "heard: " in err) == (0, True)
        assert restored(terminal)


def test_a_crash_restores_the_terminal(tiny_bundle: Path, recording: Path, tmp_path: Path) -> None:
    kept = tmp_path / "full"
    kept.symlink_to("/dev/full")
    with Terminal("-m", tiny_bundle, "--replay", recording, "--window", 1, "--output", kept) as terminal:
        code, err = terminal.ended()
        assert code == 1
        assert err.splitlines()[-1].startswith(f"sercli: error: {kept}: the disk is full")
        assert restored(terminal)


def test_keys_are_not_echoed(tiny_bundle: Path, recording: Path) -> None:
    with Terminal("-m", tiny_bundle, "--replay", recording, "--window", 1) as terminal:
        terminal.until(lambda: "sad  1." in terminal.text)
        os.write(terminal.master, b"xyzzy\n")
        terminal.until(lambda: "no speech" in terminal.text)
        assert "xyzzy" not in terminal.text
        terminal.process.send_signal(signal.SIGINT)
        terminal.ended()


def test_suspended_and_continued(tiny_bundle: Path, recording: Path) -> None:
    with Terminal("-m", tiny_bundle, "--replay", recording, "--window", 1) as terminal:
        terminal.until(lambda: "sad  1." in terminal.text)
        terminal.process.send_signal(signal.SIGTSTP)
        terminal.until(lambda: restored(terminal))
        status = Path(f"/proc/{terminal.process.pid}/stat")
        if status.exists():
            end = time.monotonic() + 10
            while status.read_text().rsplit(")", 1)[1].split()[0] != "T":
                assert time.monotonic() < end
                time.sleep(0.05)
        terminal.process.send_signal(signal.SIGCONT)
        terminal.until(lambda: terminal.bytes.count(ALTERNATE) == 2 and "Ctrl-C ends" in terminal.text)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.ended()[0] == 0
        assert restored(terminal)
