"""Ratios of time and memory, measured in turn in one run: `python -m tests.bench [--model M] [--files N]`.

Ratios, not seconds, compare between machines. Nothing is asserted here: a busy machine must not fail a test suite.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from sercli.hub.bundled import DEFAULT_MODEL, students
from tests.tiny import RATE, make_bundle

REPEATS = 7
CLIP_SECONDS = 3.0
DISTINCT_CLIPS = 100
IMPORTS = "import numpy, onnxruntime, soundfile"
DECODE = """
import sys, soundfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
with ThreadPoolExecutor(int(sys.argv[2])) as pool:
    list(pool.map(lambda path: soundfile.read(path, dtype="float32"), sorted(Path(sys.argv[1]).iterdir())))
"""


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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--model", default=None, help="student to measure; default: the default student")
    parser.add_argument("--files", type=int, default=10_000, help="files of the large batch")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    python, threads = sys.executable, str(options.threads)
    sercli = [python, "-m", "sercli"]
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        model = options.model or (DEFAULT_MODEL if DEFAULT_MODEL in students() else str(make_bundle(scratch / "tiny")))
        few, many = clips(scratch / "few", DISTINCT_CLIPS), clips(scratch / "many", options.files)
        first = str(few / "000000.flac")
        line("what", "measured", "bar")
        start = in_turn({"click": [python, "-c", "import click"], "help": [*sercli, "--help"]})
        line("sercli --help / import click", f"{start['help'].seconds / start['click'].seconds:.2f} x", "< 2 x")
        one = in_turn({"imports": [python, "-c", IMPORTS], "predict": [*sercli, "predict", first, "-m", model]})
        ratio = one["predict"].seconds / one["imports"].seconds
        line(f"predict one {CLIP_SECONDS:.0f}-s file / {IMPORTS}", f"{ratio:.2f} x", "< 2 x")
        line(f"predict one {CLIP_SECONDS:.0f}-s file, whole process", f"{one['predict'].seconds:.3f} s", "< 0.5 s")
        line("    peak memory", f"{one['predict'].megabytes:.0f} MB", "< 150 MB")
        batch = [*sercli, "predict", "-q", "-m", model, "--threads", threads, "-f", "csv"]
        audio_seconds = CLIP_SECONDS * options.files
        both = in_turn({"decode": [python, "-c", DECODE, str(many), threads], "batch": [*batch, str(many)]}, repeats=1)
        for name, what in (("batch", f"{options.files} FLAC clips, {threads} threads"), ("decode", "    only decoded")):
            bar = "> 1000 x" if name == "batch" else ""
            line(f"{what}, real-time factor", f"{audio_seconds / both[name].seconds:.0f} x", bar)
            line(
                "    per CPU second, x threads (as on a free machine)",
                f"{audio_seconds / both[name].cpu_seconds * options.threads:.0f} x",
                bar,
            )
        small = in_turn({"few": [*batch, str(few)]}, repeats=1)["few"].megabytes
        line(f"peak memory, {DISTINCT_CLIPS} files", f"{small:.0f} MB", "")
        line(f"peak memory, {options.files} files", f"{both['batch'].megabytes:.0f} MB", "flat")
        line("load of the machine (1 min) / cores", f"{os.getloadavg()[0]:.1f} / {os.cpu_count()}", "")


if __name__ == "__main__":
    main()
