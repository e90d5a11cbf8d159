"""What a student costs to run: size, multiply-accumulates, time and memory, each next to a reference.

Seconds and megabytes of one machine say little about another. So the time stands next to a plain matrix product
with as many multiply-accumulates, run in turn with the student, and the memory next to what the imports alone take.
Both come from one fresh process with one thread: `python -m sercli.evaluation.cost FOLDER PRECISION SECONDS MACS`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from sercli.errors import BundleError, MissingExtraError, SercliError, UsageError
from sercli.hub.find import find
from sercli.runtime.bundle import ONNX_FILES, SAMPLE_RATE
from sercli.runtime.student import Precision, load

MODEL_FILES = (*ONNX_FILES.values(), "model.safetensors")
"""Files whose size is told."""
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
}
"""Environment that keeps numpy's matrix product on one core, whichever BLAS it was built with."""
WARM_UPS = 3
REPEATS = 30
LOADS = 5
MEBIBYTE = 2**20  # bytes


def cost(folder: Path, precision: Precision = "float32", seconds: float = 3.0) -> dict[str, Any]:
    """Measure what a student costs.

    Args:
        folder: of the bundle
        precision: "float32" or "int8"
        seconds: length of the clip, within the student's shortest and its longest undivided one

    Returns:
        `parameters`: count of trained numbers.
        `files`: name to size in bytes.
        `macs_per_second`: multiply-accumulates of the clip divided by its seconds, see `macs.count_macs`;
        `front_end_macs_per_second`: the part of them before the first trained weights.
        `operators`: operator type to its share of them, 0 to 1; `uncounted_operators`: types that may have some too.
        `clip_ms`: median CPU time to label the clip with one thread; `load_ms`: likewise to open the student.
        `real_time_factor`: clip_ms divided by the clip's duration; smaller is better, below 1 keeps up with speech.
        `peak_memory_mb`: most resident memory, in 2^20 bytes, of a fresh process that labels one clip.
        `reference`: `matmul_ms`, a square float32 matrix product in numpy, scaled to the clip's multiply-accumulates;
        `ratio_to_matmul`, clip_ms divided by it, None for a graph without products; `imports_memory_mb`, the peak of
        the same process once it has imported numpy, onnxruntime and soundfile; `ratio_to_imports`, likewise.

    Raises:
        ModelNotFoundError, BundleError: as `load`; BundleError also where the measuring process fails
        MissingExtraError: onnx is not installed
        UsageError: unknown precision, a clip too short or too long
    """
    try:
        import onnx
    except ImportError:
        problem = 'counting multiply-accumulates needs onnx; pip install "sercli[train]"'
        raise MissingExtraError(problem) from None
    from sercli.evaluation.macs import count_macs

    folder = find(folder).folder
    config = load(folder, precision=precision).config
    if not config.min_seconds <= seconds <= config.clip_seconds:
        span = f"{config.min_seconds:g} to {config.clip_seconds:g} s"
        raise UsageError(f"a clip of {seconds:g} s cannot be timed; {config.name} takes {span} in one piece")
    clip = _voice(seconds)
    feed: dict[str, npt.NDArray[Any]] = {"waveform": clip[None], "lengths": np.array([len(clip)], np.int64)}
    macs = count_macs(onnx.load(folder / ONNX_FILES[precision]), feed)
    measured = _in_fresh_process(folder, precision, seconds, macs.total)
    return {
        "parameters": config.parameters,
        "files": {name: (folder / name).stat().st_size for name in MODEL_FILES if (folder / name).is_file()},
        "macs_per_second": round(macs.total / seconds),
        "front_end_macs_per_second": round(macs.front_end / seconds),
        "operators": {name: round(count / macs.total, 4) for name, count in macs.by_operator.items()},
        "uncounted_operators": list(macs.uncounted),
        **measured,
    }


def _in_fresh_process(folder: Path, precision: Precision, seconds: float, macs: int) -> dict[str, Any]:
    """Run `_measure` where neither this process's imports nor its threads can be counted."""
    import subprocess

    command = [sys.executable, "-m", "sercli.evaluation.cost", str(folder), precision, repr(seconds), str(macs)]
    environment = {**os.environ, **ONE_THREAD}
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
        raise BundleError(f"{folder}: its cost could not be measured ({reason}); check that it labels a file")
    return cast(dict[str, Any], json.loads(done.stdout))


def _measure(folder: Path, precision: Precision, seconds: float, macs: int) -> dict[str, Any]:
    """Measure memory, then time, in a process that has done nothing else."""
    import onnxruntime  # noqa: F401
    import soundfile  # noqa: F401

    imports_memory = _peak_memory()
    student = load(folder, precision=precision, threads=1)
    clip = _voice(seconds)
    student.predict(clip, SAMPLE_RATE)
    peak_memory = _peak_memory()

    [load_seconds] = _medians_in_turn(LOADS, lambda: load(folder, precision=precision, threads=1))
    side = max(1, round(macs ** (1.0 / 3.0)))
    left, right = np.random.default_rng(0).standard_normal((2, side, side), np.float32)
    product = np.empty_like(left)
    clip_seconds, product_seconds = _medians_in_turn(
        REPEATS, lambda: student.predict(clip, SAMPLE_RATE), lambda: np.matmul(left, right, out=product)
    )
    matmul_seconds = product_seconds * macs / side**3
    return {
        "clip_ms": round(1e3 * clip_seconds, 3),
        "real_time_factor": round(clip_seconds / seconds, 6),
        "load_ms": round(1e3 * load_seconds, 3),
        "peak_memory_mb": round(peak_memory / MEBIBYTE, 1),
        "reference": {
            "matmul_ms": round(1e3 * matmul_seconds, 3),
            "ratio_to_matmul": round(clip_seconds / matmul_seconds, 2) if macs else None,
            "imports_memory_mb": round(imports_memory / MEBIBYTE, 1),
            "ratio_to_imports": round(peak_memory / imports_memory, 2),
        },
    }


def _medians_in_turn(repeats: int, *calls: Callable[[], object]) -> list[float]:
    """Median CPU seconds of each call after warm-up, run in turn so that a busy spell hits all alike.

    CPU time, which with one thread is what one waits on a free machine: on a busy one a long call is interrupted
    and a short one is not, which doubled the ratio of two wall-clock times.
    """
    taken: list[list[float]] = [[] for _ in calls]
    for turn in range(WARM_UPS + repeats):
        for call, times in zip(calls, taken, strict=True):
            begin = time.process_time()
            call()
            if turn >= WARM_UPS:
                times.append(time.process_time() - begin)
    return [median(times) for times in taken]


def _peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes."""
    # Linux counts the parent's peak into getrusage's ru_maxrss of a child; VmHWM begins anew with the program.
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _voice(seconds: float) -> npt.NDArray[np.float32]:
    """A clip to be labelled: a 150 Hz buzz in syllables, with some noise so that no frame is silent."""
    moment = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    syllables = 0.5 + 0.5 * np.sin(2.0 * np.pi * 4.0 * moment)
    buzz = (150.0 * moment) % 1.0 - 0.5
    noise = np.random.default_rng(0).standard_normal(len(moment))
    return (0.3 * syllables * buzz + 0.003 * noise).astype(np.float32)


if __name__ == "__main__":
    try:
        figures = _measure(Path(sys.argv[1]), cast(Precision, sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
    except SercliError as problem:
        sys.exit(str(problem))
    sys.stdout.write(json.dumps(figures))
