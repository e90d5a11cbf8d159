"""Read bad files until one does harm: `python -m tests.fuzz [TARGET...] [--cases N] [--seed S] [--keep FOLDER]`.

Every case runs in a child process: what crashes it, takes too long or too much memory, raises anything but sercli's own
errors, or is refused without a clear line is a finding. Its file is kept, and named by target, seed and number.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.fuzz.bad_files import bad_file
from tests.fuzz.targets import TARGETS

SLOW_SECONDS = 2.0  # CPU time of one case, whose file is at most 64 kB
HANG_SECONDS = 60.0  # wall time, for a busy machine
MEMORY_BYTES = 256 * 2**20  # by which one case may raise the peak
ADDRESS_BYTES = 8 * 2**30  # beyond what the child begins with; keeps the machine safe
WARM_UP = 50  # cases before memory is compared: imports and caches are no findings
MOST_FINDINGS = 200  # of a target; a reader as bad as that is to be mended first


def child(name: str, seed: int, first: int, end: int, scratch: Path) -> None:
    """Run cases one after another and print a line of JSON for each finding, and one of counts at the end."""
    warnings.simplefilter("error")
    target = TARGETS[name]
    report = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # libsndfile prints what it thinks of some files
    goods = target.goods()
    _limit_address_space()
    accepted, slowest, peak = 0, 0.0, _peak_bytes()
    for number in range(first, end):
        path = scratch / f"{name}-{seed}-{number}{target.suffix}"
        path.write_bytes(bad_file(goods, number, seed, target.words))
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        begin = time.process_time()
        try:
            accepted += target.check(path)
        except BaseException as problem:
            print(json.dumps({"case": number, "what": f"{type(problem).__name__}: {problem}"[:1_000]}), file=report)
        faulthandler.cancel_dump_traceback_later()
        seconds, before, peak = time.process_time() - begin, peak, _peak_bytes()
        if number >= first + WARM_UP:
            slowest = max(slowest, seconds)
            if seconds > SLOW_SECONDS:
                print(json.dumps({"case": number, "what": f"{seconds:.1f} s of CPU time"}), file=report)
            if peak - before > MEMORY_BYTES:
                print(json.dumps({"case": number, "what": f"{(peak - before) / 2**20:.0f} MB of memory"}), file=report)
        path.unlink()
    print(json.dumps({"accepted": accepted, "slowest": slowest, "peak": peak}), file=report)


def _limit_address_space() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + ADDRESS_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run(name: str, cases: int, seed: int, keep: Path) -> int:
    """Run the cases of one target, in as many children as crashes make necessary; return the number of findings."""
    findings: Counter[str] = Counter()
    accepted, slowest, peak, first = 0, 0.0, 0, 0
    begin = time.monotonic()
    while first < cases and findings.total() < MOST_FINDINGS:
        with tempfile.TemporaryDirectory() as scratch:
            command = [sys.executable, "-m", "tests.fuzz", name, "--child", scratch]
            command += ["--first", str(first), "--cases", str(cases), "--seed", str(seed)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            lines: list[dict[str, Any]] = [json.loads(text) for text in done.stdout.splitlines()]
            left = next(Path(scratch).glob(f"{name}-*"), None)
            if left is None and done.returncode:
                raise SystemExit(f"{name}: {done.stderr}")
            if left is not None:
                number = int(left.stem.rpartition("-")[2])
                why = "hangs" if "Timeout" in done.stderr else f"crashes (exit {done.returncode})"
                lines.append({"case": number, "what": why})
                first = number + 1
            else:
                first = cases
        for line in lines:
            if "case" not in line:
                accepted, slowest = accepted + line["accepted"], max(slowest, line["slowest"])
                peak = max(peak, line["peak"])
                continue
            what = line["what"].partition(":")[0]
            findings[what] += 1
            if findings[what] <= 3:
                print(f"{name} {line['case']}: {line['what']}", flush=True)
                keep.mkdir(parents=True, exist_ok=True)
                data = bad_file(TARGETS[name].goods(), line["case"], seed, TARGETS[name].words)
                (keep / f"{name}-{seed}-{line['case']}{TARGETS[name].suffix}").write_bytes(data)
    print(
        f"{name}: {first} cases in {time.monotonic() - begin:.0f} s, {accepted} accepted, {findings.total()} findings; "
        f"slowest {slowest:.2f} s, peak memory {peak / 2**20:.0f} MB",
        flush=True,
    )
    return findings.total()


def main(arguments: Sequence[str] | None = None) -> None:
    """Fuzz the targets named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition(":")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--cases", type=int, default=10_000, help="of each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("runs/fuzz"), help="folder for the files of findings")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"{', '.join(unknown)}: none of {', '.join(TARGETS)}")
    if options.child is not None:
        child(options.targets[0], options.seed, options.first, options.cases, options.child)
        return
    found = [run(name, options.cases, options.seed, options.keep) for name in options.targets or TARGETS]
    print(f"{options.cases * len(found)} cases, {sum(found)} findings")
    raise SystemExit(bool(sum(found)))


if __name__ == "__main__":
    main()
