"""What the benches share: running commands in turn, clips to run them on, and rows of a table."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from tests.tiny import RATE

REPEATS = 7
CLIP_SECONDS = 3.0
DISTINCT_CLIPS = 100


@dataclass(frozen=True)
class Run:
    """What one run of a command took."""

    seconds: float
    cpu_seconds: float
    megabytes: float


def measure(command: list[str]) -> Run:
    """Run a command."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"exit code {process.returncode}: {' '.join(command)}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024.0)


def in_turn(commands: dict[str, list[str]], repeats: int = REPEATS) -> dict[str, Run]:
    """Median times and largest memory of each command, run in turn so that a busy spell hits all alike."""
    found: dict[str, list[Run]] = {name: [] for name in commands}
    for turn in range(repeats + 1):
        for name, command in commands.items():
            result = measure(command)
            if turn:  # the first turn fills the caches
                found[name].append(result)
    return {
        name: Run(
            statistics.median(run.seconds for run in runs),
            statistics.median(run.cpu_seconds for run in runs),
            max(run.megabytes for run in runs),
        )
        for name, runs in found.items()
    }


def clips(folder: Path, count: int) -> Path:
    """A folder of FLAC clips of voice-like noise; all but the first hundred are hard links."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    time_axis = np.arange(int(CLIP_SECONDS * RATE)) / RATE
    for index in range(count):
        path = folder / f"{index:06d}.flac"
        if index < DISTINCT_CLIPS:
            syllables = np.clip(np.sin(2 * np.pi * 3 * time_axis + rng.uniform(0, 6)), 0, 1)
            voice = np.sign(np.sin(2 * np.pi * rng.uniform(90, 250) * time_axis)) + rng.standard_normal(len(time_axis))
            soundfile.write(path, 0.05 * syllables * voice, RATE)
        else:
            path.hardlink_to(folder / f"{index % DISTINCT_CLIPS:06d}.flac")
    return folder


def line(what: str, value: str, bar: str) -> None:
    """Print one row."""
    print(f"{what:<64} {value:>10}   {bar}")
