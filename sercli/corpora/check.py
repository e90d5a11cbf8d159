"""Is a corpus fit to train and test on? Files, duplicates, speakers on both sides, labels, clipping and silence.

Errors are what spoils a run or a figure (missing, unreadable, a leak), warnings what its owner should know.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sercli.corpora import CORPORA
from sercli.corpora.corpus import audio_files
from sercli.corpora.splits import LEAKS, Split, holdout, holdouts, named_holdout, protocol, protocols, split
from sercli.corpora.table import Stretch, Utterance
from sercli.errors import CorpusError, LeakError, UsageError
from sercli.labels import normalise, relabel
from sercli.nearest import nearest

BLOCK_FRAMES = 1 << 18  # decoded at a time, so that hours-long files need no more memory than short ones
FULL_SCALE = 0.999  # of 1.0
CLIPPED_RUN = 3  # neighbouring samples at full scale: a peak that merely touches it is not clipping
CLIPPED_SAMPLES = 10  # such samples in an utterance before it is called clipped
SILENT_PEAK = 0.001  # of full scale, -60 dBFS
END_TOLERANCE_SECONDS = 0.01  # tables round their times
IMBALANCE = 5.0  # largest class over smallest, from which a warning is given


@dataclass(frozen=True)
class Sound:
    """What decoding one utterance tells."""

    seconds: float = 0.0
    digest: str = ""
    """sha256 of the decoded samples, rate and channel count; empty if they cannot be decoded."""
    peak: float = 0.0
    """Of full scale."""
    clipped: int = 0
    """Samples in the middle of a run at full scale."""
    missing: bool = False
    problem: str = ""
    """Why it cannot be used; empty if it can."""


@dataclass(frozen=True)
class Finding:
    """One thing found, with the utterances it concerns."""

    severity: str
    """`error` or `warning`."""
    kind: str
    """Short fixed name: missing, unreadable, leak, duplicate, ..."""
    message: str
    paths: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """The result of a check."""

    corpus: str
    utterances: int
    speakers: int
    seconds: float
    labels: dict[str, int]
    findings: list[Finding]

    @property
    def errors(self) -> int:
        """Number of findings that are errors."""
        return sum(finding.severity == "error" for finding in self.findings)

    def to_dict(self) -> dict[str, object]:
        """Return plain values, ready for JSON."""
        return {**asdict(self), "errors": self.errors}


def check(
    name: str,
    utterances: Sequence[Utterance],
    root: Path | None = None,
    protocol_name: str = "",
    advance: Callable[[], object] = lambda: None,
) -> Report:
    """Check a corpus or table.

    Args:
        name: corpus name or table path, for the report and for the counts of the release
        utterances: what was read
        root: the corpus's folder, to find audio that is not in the table; None: not looked for
        protocol_name: also check the splits of this protocol, or of a holdout such as `release`
        advance: called once per utterance decoded

    Raises:
        UsageError: unknown protocol, or none of its corpus among the utterances.
        LabelError: an emotion the protocol's label set cannot map.
    """
    sides, findings = _splits(utterances, protocol_name) if protocol_name else ([], [])
    sounds = _decode_all(utterances, advance)
    findings += _sound_findings(utterances, sounds)
    findings += _duplicates(utterances, sounds, sides)
    findings += _label_findings(utterances)
    findings += _release_findings(name, utterances, root)
    return Report(
        corpus=name,
        utterances=len(utterances),
        speakers=len({(utterance.corpus, utterance.speaker) for utterance in utterances if utterance.speaker}),
        seconds=round(sum(sound.seconds for sound in sounds), 3),
        labels=_counts(utterances),
        findings=sorted(findings, key=lambda finding: finding.severity),  # errors first
    )


def listen_to(utterance: Utterance) -> Sound:
    """Decode one utterance, block by block, and say what is in it; never raises for a bad file."""
    import numpy as np
    import soundfile

    if not os.path.isfile(utterance.path):  # noqa: PTH113 - many thousand times
        return Sound(missing=True, problem="no such file")
    digest = hashlib.sha256()
    frames, peak, clipped = 0, 0.0, 0
    try:
        with soundfile.SoundFile(utterance.path) as file:
            rate = file.samplerate
            digest.update(f"{rate} {file.channels}".encode())
            start = min(round(utterance.start * rate), file.frames)
            wanted = file.frames - start if math.isnan(utterance.end) else round(utterance.end * rate) - start
            if start:
                file.seek(start)
            while frames < wanted:
                block = file.read(min(BLOCK_FRAMES, wanted - frames), dtype="float32", always_2d=True)
                if not len(block):
                    break
                level = np.abs(block)
                peak = max(peak, float(level.max()))  # NaN stays NaN in max() of the block
                clipped += _clipped(level >= FULL_SCALE)
                digest.update(block.tobytes())
                if not math.isfinite(float(level.sum(dtype=np.float64))):
                    return Sound(problem="NaN or infinite samples")
                frames += len(block)
    except (soundfile.LibsndfileError, OSError, RuntimeError) as problem:
        return Sound(problem=str(problem).replace(utterance.path, "").strip(" :'") or "cannot be decoded")
    if frames == 0:
        return Sound(problem="no samples")
    if not math.isnan(utterance.end) and frames / rate < utterance.end - utterance.start - END_TOLERANCE_SECONDS:
        return Sound(problem=f"the file ends before {utterance.end:.3f} s")
    return Sound(frames / rate, digest.hexdigest(), peak, clipped)


def _clipped(full: object) -> int:
    import numpy as np

    mask = np.asarray(full, dtype=bool)  # (frames, channels)
    if not mask.any():
        return 0
    run = mask[: 1 - CLIPPED_RUN].copy()
    for shift in range(1, CLIPPED_RUN):
        run &= mask[shift : len(mask) + 1 - CLIPPED_RUN + shift]
    return int(run.sum())


def _decode_all(utterances: Sequence[Utterance], advance: Callable[[], object]) -> list[Sound]:
    pool = ThreadPoolExecutor(os.cpu_count() or 1)  # libsndfile and sha256 release the interpreter lock
    sounds = []
    try:
        for sound in pool.map(listen_to, utterances):
            sounds.append(sound)
            advance()
    finally:
        pool.shutdown(cancel_futures=True)
    return sounds


def _sound_findings(utterances: Sequence[Utterance], sounds: Sequence[Sound]) -> list[Finding]:
    pairs = list(zip(utterances, sounds, strict=True))
    findings = [
        Finding("error", "unreadable", f"cannot be used: {sound.problem}", [utterance.path])
        for utterance, sound in pairs
        if sound.problem and not sound.missing
    ]
    heard = [(utterance, sound) for utterance, sound in pairs if not sound.problem]
    for severity, kind, message, paths in (
        ("error", "missing", "listed, but not there", [u.path for u, s in pairs if s.missing]),
        ("warning", "silent", "nothing above -60 dBFS", [u.path for u, s in heard if s.peak < SILENT_PEAK]),
        ("warning", "clipped", "clipped at full scale", [u.path for u, s in heard if s.clipped >= CLIPPED_SAMPLES]),
    ):
        if paths:
            findings.append(Finding(severity, kind, f"{len(paths)} {message}", paths))
    return findings


def _duplicates(
    utterances: Sequence[Utterance], sounds: Sequence[Sound], sides: list[tuple[str, Split]]
) -> list[Finding]:
    groups: dict[str, list[Utterance]] = {}
    for utterance, sound in zip(utterances, sounds, strict=True):
        if sound.digest and sound.peak >= SILENT_PEAK:  # all silence of one length is alike
            groups.setdefault(sound.digest, []).append(utterance)
    twins = [group for group in groups.values() if len(group) > 1]
    side_of = [(name, _side_of(parts)) for name, parts in sides]
    findings = []
    for group in twins:
        paths = [utterance.path for utterance in group]
        differ = [what for what in ("emotion", "speaker") if len({getattr(u, what) for u in group}) > 1]
        message = f"{len(group)} with the same sound" + (f" but different {' and '.join(differ)}" if differ else "")
        findings.append(Finding("warning", "duplicate", message, paths))
        for name, side in side_of:
            found = sorted({side[key] for utterance in group if (key := utterance.stretch) in side})
            if len(found) > 1:
                message = f"the same sound on the {' and the '.join(found)} side of {name}"
                findings.append(Finding("error", "leak", message, paths))
    return findings


def _side_of(parts: Split) -> dict[Stretch, str]:
    return {utterance.stretch: side for side in ("train", "dev", "test") for utterance in getattr(parts, side)}


def _splits(utterances: Sequence[Utterance], name: str) -> tuple[list[tuple[str, Split]], list[Finding]]:
    """Make every split of a protocol; what is refused becomes a finding."""
    sides, findings = [], []
    known = [*protocols(), *holdouts()]
    if name not in known:
        raise UsageError(f'unknown protocol "{name}"{nearest(name, known)}; choose one of {", ".join(known)}')
    if name in holdouts():
        rounds: list[tuple[str, Callable[[], Split]]] = [
            (name, lambda: holdout(utterances, named_holdout(name).dev_speakers))
        ]
    else:
        wanted = protocol(name)
        chosen = relabel((u for u in utterances if u.corpus == wanted.corpus), wanted.label_set)
        if not chosen:
            raise UsageError(f"protocol {name} is of corpus {wanted.corpus}, and there is nothing of it here")
        if wanted.leaks:
            findings.append(Finding("warning", "leak", f"{name}: {LEAKS}"))
        rounds = [(f"fold {fold.name}", lambda fold=fold: split(chosen, fold, wanted.by)) for fold in wanted.folds]  # type: ignore[misc]
    for label, make in rounds:
        try:
            sides.append((label, make()))
        except CorpusError as problem:
            kind = "leak" if isinstance(problem, LeakError) else "split"
            findings.append(Finding("error", kind, str(problem)))
    return sides, findings


def _counts(utterances: Iterable[Utterance]) -> dict[str, int]:
    return dict(sorted(Counter(utterance.emotion for utterance in utterances if utterance.emotion).items()))


def _label_findings(utterances: Sequence[Utterance]) -> list[Finding]:
    findings = []
    counts = _counts(utterances)
    unlabelled = [utterance.path for utterance in utterances if not utterance.emotion]
    if unlabelled:
        findings.append(Finding("warning", "unlabelled", f"{len(unlabelled)} without an emotion", unlabelled))
    unknown = [word for word in counts if normalise(word) is None]
    if unknown:
        message = f"emotions no label set knows: {', '.join(unknown)}"
        findings.append(Finding("warning", "unknown label", message))
    if len(counts) > 1 and max(counts.values()) > IMBALANCE * min(counts.values()):
        large, small = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
        message = f"{large} ({counts[large]}) is more than {IMBALANCE:g} times {small} ({counts[small]})"
        findings.append(Finding("warning", "imbalance", message))
    nameless = [utterance.path for utterance in utterances if not utterance.speaker]
    if nameless:
        message = f"{len(nameless)} without a speaker: they cannot be split"
        findings.append(Finding("warning", "no speaker", message, nameless))
    return findings


def _release_findings(name: str, utterances: Sequence[Utterance], root: Path | None) -> list[Finding]:
    findings = []
    release = CORPORA.get(name)
    if release and len(utterances) != release.utterances:
        message = f"{len(utterances)} utterances here, {release.utterances} in the release"
        findings.append(Finding("warning", "incomplete", message))
    if release and root:
        listed = {utterance.path for utterance in utterances}
        paths = [str(file) for file in audio_files(root.absolute()) if str(file) not in listed]
        if paths:
            message = f"{len(paths)} audio files that are not of {name} (or a second copy) are left out"
            findings.append(Finding("warning", "unlisted", message, paths))
    return findings
