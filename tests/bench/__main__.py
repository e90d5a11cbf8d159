"""Ratios of time and memory, measured in turn in one run: `python -m tests.bench [--model M] [--files N]`.

First the bars of `sercli predict`, then a table of what a user might take instead (`tests.bench.peers`, which can be
run alone). Ratios, not seconds, compare between machines. Nothing is asserted here: a busy machine must not fail a test
suite.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from sercli.hub.bundled import DEFAULT_MODEL, students
from tests.bench import peers
from tests.bench.processes import CLIP_SECONDS, DISTINCT_CLIPS, clips, in_turn, line
from tests.tiny import make_bundle

IMPORTS = "import numpy, onnxruntime, soundfile"
DECODE = """
import sys, soundfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
with ThreadPoolExecutor(int(sys.argv[2])) as pool:
    list(pool.map(lambda path: soundfile.read(path, dtype="float32"), sorted(Path(sys.argv[1]).iterdir())))
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--model", default=None, help="student to measure; default: the default student")
    parser.add_argument("--files", type=int, default=10_000, help="files of the large batch")
    parser.add_argument("--repeats", type=int, default=3, help="turns of the comparison with other tools")
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
        print()
        print(peers.markdown(peers.rows(scratch, model, options.repeats)))
        line("load of the machine (1 min) / cores", f"{os.getloadavg()[0]:.1f} / {os.cpu_count()}", "")


if __name__ == "__main__":
    main()
