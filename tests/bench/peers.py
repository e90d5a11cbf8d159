"""What else a user might take, side by side: `python -m tests.bench.peers [--model M] [--repeats N] [--json FILE]`.

Every row is a process of one thread that reads a folder of 3-s FLAC clips and prints something for each; all are run in
turn, so that a busy spell hits all alike. The real-time factors are slopes: seconds of audio by which one folder is
longer than another, over seconds by which it takes longer. So starting and loading, a column of their own, are not in
them.

    importing        numpy, onnxruntime and soundfile: the floor of starting
    decoding         soundfile alone: the floor of labelling
    onnxruntime      the student's own graph without sercli
    sercli           `sercli predict`
    wav2vec2-base    transformers' pipeline `audio-classification` with a model of that shape and random weights
    eGeMAPS          opensmile's functionals, features without a classifier
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from sercli.hub.bundled import DEFAULT_MODEL
from sercli.hub.find import find
from tests.bench.processes import CLIP_SECONDS, Run, clips, measure

LABELS = 7
PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
IMPORTING = "import numpy, onnxruntime, soundfile"
DECODING = """
import sys, soundfile
from pathlib import Path
for path in sorted(Path(sys.argv[1]).iterdir()):
    print(len(soundfile.read(path, dtype="float32")[0]))
"""
ONNXRUNTIME = """
import sys, numpy, onnxruntime, soundfile
from pathlib import Path
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[2], options, providers=["CPUExecutionProvider"])
for path in sorted(Path(sys.argv[1]).iterdir()):
    audio = soundfile.read(path, dtype="float32")[0]
    feed = {"waveform": audio[None], "lengths": numpy.array([len(audio)])}
    print(path, session.run(["logits"], feed)[0].argmax())
"""
TRANSFORMERS = """
import sys, torch
from pathlib import Path
from transformers import pipeline
import soundfile
torch.set_num_threads(1)
classify = pipeline("audio-classification", model=sys.argv[2], device="cpu")
for path in sorted(Path(sys.argv[1]).iterdir()):
    audio, rate = soundfile.read(path, dtype="float32")
    print(path, classify({"raw": audio, "sampling_rate": rate})[0]["label"])
"""
WAV2VEC2_BASE = f"""
import sys, torch
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForSequenceClassification
torch.manual_seed(0)
# the defaults of the configuration are those of wav2vec2-base
Wav2Vec2ForSequenceClassification(Wav2Vec2Config(num_labels={LABELS})).save_pretrained(sys.argv[1])
Wav2Vec2FeatureExtractor().save_pretrained(sys.argv[1])
"""
OPENSMILE = """
import sys, opensmile, soundfile
from pathlib import Path
smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals, num_workers=1)
for path in sorted(Path(sys.argv[1]).iterdir()):
    print(path, smile.process_signal(*soundfile.read(path, dtype="float32")).shape)
"""


@dataclass(frozen=True)
class Peer:
    """One row."""

    name: str
    before: tuple[str, ...]
    """of the command line, before the folder of clips"""
    after: tuple[str, ...]
    few: int
    """clips of the short folder"""
    many: int
    """clips of the long folder; equal where there is nothing to read"""
    packages: tuple[str, ...]
    """to install, with what they need"""

    def command(self, folder: Path) -> list[str]:
        """Read a folder of clips."""
        return [*self.before, str(folder), *self.after]


@dataclass(frozen=True)
class Row:
    """What was measured of one peer; medians."""

    name: str
    start_seconds: float
    """wall time of the short folder"""
    start_cpu_seconds: float
    peak_megabytes: float
    """of the long folder"""
    factor: float | None
    """seconds of audio a second of wall time"""
    cpu_factor: float | None
    """seconds of audio a second of CPU time"""
    install_megabytes: float


def peers(scratch: Path, model: str) -> list[Peer]:
    """List the peers that can be run here, and say on stderr which cannot."""
    python, runtime = (sys.executable, "-c"), ("numpy", "onnxruntime", "soundfile")
    graph = str(find(model).folder / "model.onnx")
    ours = (sys.executable, "-m", "sercli", "predict", "-q", "--threads", "1", "-f", "jsonl", "-m", model)
    base = tuple(tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["dependencies"])
    found = [
        Peer("importing", (*python, IMPORTING), (), 1, 1, runtime),
        Peer("decoding", (*python, DECODING), (), 1, 1_000, ("numpy", "soundfile")),
        Peer("onnxruntime", (*python, ONNXRUNTIME), (graph,), 1, 500, runtime),
        Peer("sercli", ours, (), 1, 500, base),
    ]
    if find_spec("transformers") and find_spec("torch"):
        wav2vec2 = _wav2vec2_base(scratch / "wav2vec2")
        needs = ("transformers", "torch", "soundfile")
        found.append(Peer("wav2vec2-base", (*python, TRANSFORMERS), (wav2vec2,), 1, 11, needs))
    else:
        print("wav2vec2-base left out: transformers or torch is not installed", file=sys.stderr)
    if find_spec("opensmile"):
        found.append(Peer("eGeMAPS", (*python, OPENSMILE), (), 1, 101, ("opensmile", "soundfile")))
    else:
        print("eGeMAPS left out: opensmile is not installed", file=sys.stderr)
    return found


def _wav2vec2_base(folder: Path) -> str:
    """Make the model in a process of its own: a child's peak memory is never below that of whoever starts it."""
    subprocess.run([sys.executable, "-c", WAV2VEC2_BASE, str(folder)], check=True, capture_output=True)
    return str(folder)


def rows(scratch: Path, model: str, repeats: int) -> list[Row]:
    """Measure every peer in turn, once more than asked for: the first turn fills the caches."""
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    runs: dict[tuple[str, int], list[Run]] = {}
    known = peers(scratch, model)
    folders: dict[int, Path] = {}
    for count in {count for peer in known for count in (peer.few, peer.many)}:
        folders[count] = clips(scratch / f"clips-{count}", count)
    for turn in range(repeats + 1):
        for peer in known:
            for count in {peer.few, peer.many}:
                result = measure(peer.command(folders[count]))
                if turn:
                    runs.setdefault((peer.name, count), []).append(result)
    return [_row(peer, runs) for peer in known]


def _row(peer: Peer, runs: dict[tuple[str, int], list[Run]]) -> Row:
    few, many = runs[peer.name, peer.few], runs[peer.name, peer.many]
    audio = CLIP_SECONDS * (peer.many - peer.few)
    # each turn by itself: what slows one turn down slows both of its runs
    wall = [long.seconds - short.seconds for short, long in zip(few, many, strict=True)]
    cpu = [long.cpu_seconds - short.cpu_seconds for short, long in zip(few, many, strict=True)]
    return Row(
        peer.name,
        statistics.median(run.seconds for run in few),
        statistics.median(run.cpu_seconds for run in few),
        max(run.megabytes for run in many),
        audio / statistics.median(wall) if audio else None,
        audio / statistics.median(cpu) if audio else None,
        install_megabytes(peer.packages),
    )


def install_megabytes(packages: Iterable[str]) -> float:
    """Add up the files of installed packages and of all that they need, as they are installed here."""
    from packaging.requirements import Requirement

    waiting, seen, size = [Requirement(package) for package in packages], set(), 0
    while waiting:
        wanted = waiting.pop()
        name = wanted.name.lower().replace("_", "-")
        if name in seen or (wanted.marker is not None and not wanted.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue  # an optional part, or one for another system
        files = (Path(str(file.locate())) for file in found.files or ())
        size += sum(file.stat().st_size for file in files if file.is_file())
        waiting += [Requirement(text) for text in found.requires or ()]
    return size / 1e6


def markdown(found: Iterable[Row]) -> str:
    """Print rows in the shape that pages have."""
    lines = ["| one thread | start, s | CPU, s | peak, MB | real-time factor | by CPU time | installed, MB |"]
    lines.append("|---|---|---|---|---|---|---|")
    for row in found:
        factors = ("-" if factor is None else f"{factor:,.0f} x" for factor in (row.factor, row.cpu_factor))
        cells = (f"{row.start_seconds:.2f}", f"{row.start_cpu_seconds:.2f}", f"{row.peak_megabytes:.0f}", *factors)
        lines.append(f"| {row.name} | {' | '.join(cells)} | {row.install_megabytes:.0f} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.peers", description=__doc__.partition(":")[0])
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the rows here, for `tests.bench.cost`")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        found = rows(Path(scratch), options.model, options.repeats)
    print(markdown(found))
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(row) for row in found], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
