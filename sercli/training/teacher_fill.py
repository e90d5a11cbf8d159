"""Run a teacher over the clips whose outputs are not in the cache yet, and over no others."""

from __future__ import annotations

import hashlib
import math
import os
import random
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import Timeout
from numpy.typing import NDArray
from tqdm import tqdm

from sercli.audio import SAMPLE_RATE
from sercli.corpora.speech import at_speed, read_utterance, with_ends
from sercli.corpora.table import Utterance
from sercli.errors import CorpusError, OutputError
from sercli.training.teacher_cache import Outputs, TeacherCache


@dataclass(frozen=True)
class Filled:
    """What filling the cache took."""

    digests: tuple[str, ...]
    """Key of each utterance in the cache, in the order they were given."""
    computed: int
    """Clips the teacher ran on; a clip listed twice is one."""
    found: int
    """Clips that were there already, or that another process added meanwhile."""
    seconds: float


def audio_digest(utterance: Utterance) -> str:
    """Name a clip by its sound: sha256 over its file's content, its start, end and speed, in hex.

    Raises:
        CorpusError: the file cannot be read
    """
    return audio_digests([utterance])[0]


def audio_digests(utterances: Sequence[Utterance], quiet: bool = True) -> list[str]:
    """Name clips as `audio_digest` does, reading each file once, however many clips it holds."""
    paths = list(dict.fromkeys(utterance.path for utterance in utterances))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        hashed = tqdm(pool.map(_sha256, paths), "hashing audio", len(paths), False, unit="file", disable=quiet or None)
        contents = dict(zip(paths, hashed, strict=True))
    stretches = (f"{contents[u.path]} {u.start} {u.end}{at_speed(u)}" for u in utterances)
    return [hashlib.sha256(stretch.encode()).hexdigest() for stretch in stretches]


def fill(
    cache: TeacherCache,
    utterances: Sequence[Utterance],
    run: Callable[[NDArray[np.float32]], Outputs],
    *,
    quiet: bool = False,
) -> Filled:
    """Bring the outputs for all utterances into the cache; may be killed, run again, and run by several processes.

    The shortest and the longest missing clip go first: from their sizes follows the space that the others need, which
    is stated on stderr, and a clip too long for the memory shows at once. What is in the cache is verified.

    Args:
        cache: of the teacher that `run` runs
        utterances: what to compute for
        run: one clip, mono float32 at 16 kHz, shape (samples,), to its outputs
        quiet: no progress bar and no statement

    Raises:
        CorpusError: a file cannot be read
        OutputError: too little space for what is missing, or the cache cannot be written; what is done is kept
    """
    begun = time.monotonic()
    digests = audio_digests(utterances, quiet)
    clips = dict(zip(digests, utterances, strict=True))
    cache.refresh()
    present = [digest for digest in clips if digest in cache]
    cache.verify(tqdm(present, "checking", leave=False, unit="clip", disable=quiet or None))
    missing = {digest: utterance for digest, utterance in clips.items() if digest not in cache}
    seconds = dict(zip(missing, seconds_of(missing.values()), strict=True))
    order = sorted(missing, key=seconds.__getitem__)
    name, done, computed = cache.key.encoder, len(clips) - len(missing), 0
    with tqdm(desc=name, initial=done, total=len(clips), unit="clip", disable=quiet or None) as bar:

        def compute(digest: str, wait: bool) -> int | None:
            """Add a clip unless it is there; its size, or None where another process has it and we do not wait."""
            nonlocal computed
            try:
                with cache.claim(digest).acquire(timeout=-1 if wait else 0):
                    cache.refresh()
                    if digest not in cache:
                        cache.add(digest, run(read_utterance(missing[digest])))
                        computed += 1
            except Timeout:
                return None
            bar.update()
            return cache.size(digest)

        ends = [order.pop(place) for place in (0, -1) if order]
        sizes = [compute(digest, wait=True) or 0 for digest in ends]
        if order:
            # Exact for outputs of a fixed size, of a size in proportion to the length, and for both together.
            need = np.interp([seconds[digest] for digest in order], [seconds[digest] for digest in ends], sizes).sum()
            claim(cache.folder, f"{name}: {len(order)} more clips", need, quiet)
        random.SystemRandom().shuffle(order)  # processes at the same work go different ways and share it
        elsewhere = [digest for digest in order if compute(digest, wait=False) is None]
        for digest in elsewhere:  # they are there when the lock is free, unless the process that had it was killed
            compute(digest, wait=True)
    return Filled(tuple(digests), computed, len(clips) - computed, time.monotonic() - begun)


def size_text(nbytes: float) -> str:
    """Write a number of bytes for people: 12.3 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if nbytes < 999.95:
            return f"{nbytes:.0f} B" if unit == "B" else f"{nbytes:.1f} {unit}"
        nbytes /= 1e3
    return f"{nbytes:.1f} TB"


def claim(folder: Path, what: str, need: float, quiet: bool) -> None:
    """State the space that something needs, in bytes, before it starts.

    Raises:
        OutputError: there is less
    """
    free = shutil.disk_usage(folder).free
    if need > free:
        raise OutputError(
            f"{folder}: {what} need about {size_text(need)}, {size_text(free)} are free; free some space or set "
            "SERCLI_CACHE"
        )
    if not quiet:
        tqdm.write(f"{what} need about {size_text(need)} in {folder} ({size_text(free)} free)", file=sys.stderr)


def seconds_of(utterances: Iterable[Utterance]) -> list[float]:
    """Lengths by the files' headers; decodes where those do not tell, which also says why a file cannot be read."""
    return [
        len(read_utterance(u)) / SAMPLE_RATE if math.isnan(u.end) else (u.end - u.start) / u.speed
        for u in with_ends(utterances)
    ]


def _sha256(path: str) -> str:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - many thousand times
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as problem:
        raise CorpusError(f"{path}: {problem.strerror}; run `sercli corpus check`") from problem
