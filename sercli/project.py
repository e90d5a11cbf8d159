"""The skeleton of a project on recordings of one's own: folders, two recipes that train, a README of five lines."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template

from sercli.errors import OutputError
from sercli.labels import LABEL_SETS, labels_of

RECORDINGS = "recordings"
TRAIN = "train.yaml"
DISTIL = "distill.yaml"

README = Template("""\
# $name: a speech emotion recogniser of your own; run these lines in this folder
1. Collect: `$recordings/CLASS/SPEAKER/NAME.wav`, five speakers or more (flac, ogg, mp3 do too); check them with `sercli corpus check folder --root $recordings`.
2. Train: `sercli train $train` from labels alone, or `sercli distill $distil` with a large teacher too (whisper-small, 1 GB, is fetched once). Every fifth speaker is held out to select and calibrate.
3. Use: `sercli export runs/$name -o $name` (after distilling `runs/$name-distilled`), then `sercli predict call.wav --model ./$name` or `sercli listen --model ./$name`.
4. Measure on speakers who stand in neither, in `test/CLASS/SPEAKER/`: `sercli eval ./$name --corpus folder --root test --report report`; publish: `sercli zoo push $name --to OWNER/$name --dry-run`.
""")  # noqa: E501 - five lines

MATERIAL = Template("""\
name: $name
corpus:
  labels: $labels
  sources: [{name: folder, root: $recordings}]  # $recordings/CLASS/SPEAKER/NAME.wav, seen from where sercli runs
split: {dev_share: 0.2}  # every fifth speaker, one at least, selects the epoch and calibrates the scores
student: {size: micro}  # nano is a quarter of it, small six times as large
""")
TEACHER = """\
teacher:  # hears every recording once; its probe answers each of three groups of speakers without having heard it
  encoders: [{name: openai/whisper-small, revision: main, layers: [4, 5, 6, 7, 8]}]
  strength: 0.001
  groups: 3
method:
  - ce: {label_smoothing: 0.1}
  - kd: {temperature: 2.0, weight: 2.0}
  - pooled: {}
augment: {max_seconds: 3.5, trim_seconds: 0.4, noise: {kinds: [coloured], snr_db: [5, 30], probability: 0.3}}
"""
LABELS_ALONE = """\
method: {ce: {label_smoothing: 0.1}}
augment: {max_seconds: 3.5, trim_seconds: 0.4, speed: 0.1, gain_db: 6.0,
  noise: {kinds: [coloured], snr_db: [5, 30], probability: 0.4}}
"""
SCHEDULE = """\
optim: {epochs: 40, batch: 16, lr: 3.0e-3, average: 0.99}
seed: 0
"""


def make_project(folder: Path, labels: str) -> list[Path]:
    """Write the skeleton into a new or empty folder.

    Args:
        folder: whose name becomes the student's
        labels: a label set, or labels of one's own parted by commas

    Returns:
        what was made: files, and a folder per class

    Raises:
        LabelError: no such label set
        OutputError: the folder holds something, or cannot be written
    """
    classes = labels_of(labels)
    name = re.sub(r"[^\w.+-]+", "-", folder.resolve().name).strip("-") or "student"
    words = labels if labels in LABEL_SETS else ",".join(classes)
    facts = {"name": name, "labels": words, "recordings": RECORDINGS, "train": TRAIN, "distil": DISTIL}
    distilled = MATERIAL.substitute(facts, name=f"{name}-distilled")
    texts = {
        "README.md": README.substitute(facts),
        TRAIN: f"# Labels alone. Any key can be overridden: sercli train {TRAIN} optim.epochs=20 student.size=nano\n"
        + MATERIAL.substitute(facts)
        + LABELS_ALONE
        + SCHEDULE,
        DISTIL: f"# With a teacher. Any key can be overridden: sercli distill {DISTIL} optim.epochs=20\n"
        + distilled
        + TEACHER
        + SCHEDULE,
    }
    try:
        if folder.exists() and any(folder.iterdir()):
            raise OutputError(f"{folder}: is not empty; name a new folder")
        made = [folder / RECORDINGS / label for label in classes]
        for place in made:
            place.mkdir(parents=True)
        for file, text in texts.items():
            (folder / file).write_text(text, encoding="utf-8")
    except OSError as problem:
        raise OutputError(f"{folder}: cannot be written ({problem.strerror}); choose another folder") from problem
    return [*(folder / file for file in texts), *made]
