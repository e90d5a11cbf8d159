"""The bars of `sercli listen`: `python -m tests.bench.listen [--model M] [--microphone]`.

CPU time does not depend on what else the machine does, or little; wall time and latency do. The load is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import soundfile

import sercli
from sercli.hub.bundled import DEFAULT_MODEL
from sercli.live.session import Session, Settings
from sercli.runtime.student import Student
from tests.bench.processes import line, measure
from tests.live.voice import voice

HOPS = 400
HOP_SECONDS = 0.25
DEVICE_RATE = 44_100  # Hz, as most devices have it, so that resampling is counted
SHORT_SECONDS, LONG_SECONDS = 5, 35


class Blocks:
    """A source that never waits: two seconds of voice again and again, in blocks of 25 ms."""

    name, rate, lost_seconds = "blocks", DEVICE_RATE, 0.0

    def __init__(self, seconds: float) -> None:
        signal, block = voice(200, 2.0, DEVICE_RATE)[:, None], DEVICE_RATE // 40
        self._blocks = [signal[at : at + block] for at in range(0, len(signal), block)]
        self._rounds = round(seconds / 2.0)

    def frames(self) -> Iterator[np.ndarray]:
        for _ in range(self._rounds):
            yield from self._blocks

    def time(self, _seconds: float) -> float:
        return time.monotonic()


def session(student: Student, seconds: float) -> Session:
    return Session(student, Blocks(seconds), Settings(student.decision(), student.config.window_seconds))


def work(student: Student) -> None:
    """Time per hop, everything from native blocks to the result; and the network alone."""
    window = voice(200, student.config.window_seconds)
    for _ in range(20):
        student.outputs(window)
    begin = time.process_time()
    for _ in range(HOPS):
        student.outputs(window)
    alone = (time.process_time() - begin) / HOPS
    hops = session(student, HOPS * HOP_SECONDS + student.config.window_seconds).hops()
    next(hops)
    cpu, wall = time.process_time(), time.perf_counter()
    count = sum(1 for _ in hops)
    line("work per hop, CPU", f"{(time.process_time() - cpu) / count * 1e3:.1f} ms", "< 10 ms")
    line("    wall", f"{(time.perf_counter() - wall) / count * 1e3:.1f} ms", "")
    line("    of it the network, CPU", f"{alone * 1e3:.1f} ms", "")


def resident_megabytes() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def memory(student: Student) -> None:
    """Resident memory after five minutes and after an hour of audio, heard as fast as it goes."""
    early = 0.0
    for hop in session(student, 3_600.0).hops():
        if not early and hop.end >= 300.0:
            early = resident_megabytes()
    line("resident memory after 5 minutes of audio", f"{early:.1f} MB", "")
    line("    after an hour", f"{resident_megabytes():.1f} MB", "flat")


def live(command: list[str]) -> None:
    """CPU share of the whole process, start-up taken off, and latency as a reader of the pipe sees it."""
    short, long = (measure([*command, "--duration", str(seconds)]) for seconds in (SHORT_SECONDS, LONG_SECONDS))
    share = (long.cpu_seconds - short.cpu_seconds) / (LONG_SECONDS - SHORT_SECONDS)
    line("whole process in real time, CPU share of one core", f"{share:.1%}", "< 5 %")
    process = subprocess.Popen(
        [*command, "--duration", str(LONG_SECONDS)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    late = [
        (time.time() - datetime.fromisoformat(json.loads(text)["time"]).timestamp()) * 1e3 for text in process.stdout
    ]
    process.wait()
    late.sort()
    line("last sample of a window to its line at the reader, median", f"{statistics.median(late):.0f} ms", "< 100 ms")
    line("    95 % below", f"{late[int(0.95 * len(late))]:.0f} ms", "< 100 ms")
    line("    worst", f"{late[-1]:.0f} ms", "")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.listen", description=__doc__)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--microphone", action="store_true", help="the system's, instead of a replayed file")
    options = parser.parse_args()
    student = sercli.load(options.model)
    command = [sys.executable, "-m", "sercli", "listen", "-q", "-m", options.model, "--format", "jsonl"]
    line("what", "measured", "bar")
    work(student)
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "voice.wav"
        soundfile.write(clip, voice(200, LONG_SECONDS + 1.0, DEVICE_RATE), DEVICE_RATE)
        live(command if options.microphone else [*command, "--replay", str(clip)])
    memory(student)
    line("load of the machine (1 min) / cores", f"{os.getloadavg()[0]:.1f} / {os.cpu_count()}", "")


if __name__ == "__main__":
    main()
