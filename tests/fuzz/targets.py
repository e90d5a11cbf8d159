"""What is fuzzed: each target reads one file, and may fail with one clear error of sercli's own and in no other way."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import soundfile

from sercli.corpora.table import COLUMNS, read_table
from sercli.errors import LONGEST_MESSAGE, SercliError
from sercli.hub import manifest
from sercli.runtime.batch import Settings, Workers, label
from sercli.runtime.inputs import Inputs
from sercli.runtime.rows import row_of
from sercli.runtime.student import Student, load
from sercli.runtime.writers import json_object
from sercli.training.recipe_file import load_recipe
from tests.fuzz.bad_files import WORDS
from tests.tiny import RATE, config, make_bundle, tone

NO_HEADER = {"RAW", "SD2"}  # formats that nothing in the file tells
ROOT = Path(__file__).parents[2]


class UnclearError(Exception):
    """An error of sercli's own whose message does not help."""


@dataclass(frozen=True)
class Target:
    """One reader."""

    goods: Callable[[], list[bytes]]
    """makes files that it reads"""
    read: Callable[[Path], object]
    """reads a file; a SercliError is its answer to a bad one"""
    suffix: str
    """of the file's name"""
    words: tuple[bytes, ...] = ()
    """that its text may hold"""

    def check(self, path: Path) -> bool:
        """Read a file, and tell if it was accepted.

        Raises:
            UnclearError: refused with a message of no line, several lines, or without the file's name
            Exception: whatever else the reader raises, which is a finding
        """
        try:
            self.read(path)
        except SercliError as problem:
            text = str(problem)
            named = path.name in text or path.suffix == ".yaml"  # a recipe's keys are named, not its file
            if not text or not text.isprintable() or len(text) > 2 * LONGEST_MESSAGE or not named:
                raise UnclearError(repr(text[:LONGEST_MESSAGE])) from problem
            return False
        return True


@cache
def tiny() -> Student:
    """A student with known answers, one for the process."""
    return load(make_bundle(Path(mkdtemp()) / "tiny"))


def _sounds() -> list[bytes]:
    """A short tone in every format and sample type that libsndfile writes and knows again."""
    found = []
    for form in sorted(soundfile.available_formats().keys() - NO_HEADER):
        for subtype in soundfile.available_subtypes(form):
            for rate, channels in ((RATE, 1), (48_000, 2)):
                buffer = io.BytesIO()
                signal = np.stack([tone(440, 0.5 if form == "MP3" else 0.1, rate)] * channels, axis=1)
                try:
                    soundfile.write(buffer, signal, rate, format=form, subtype=subtype)
                except (soundfile.LibsndfileError, ValueError, TypeError):
                    continue  # not every pair can hold every rate and channel count
                found.append(buffer.getvalue())
    return found


def _label(path: Path) -> None:
    """Label a file as `sercli predict` does: an outcome with an error, or rows that can be printed."""
    student = tiny()
    settings = Settings(student.decision())
    (outcome,) = label(student, Inputs([str(path)]), settings, Workers(1), set())
    text = json_object(row_of(outcome, student.id, settings))
    json.loads(text, parse_constant=_no_constant)
    if outcome.error:
        raise SercliError(f"{path}: {outcome.error}")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _in_bundle(name: str) -> Callable[[Path], object]:
    """Load a bundle in which a file is the one read, and label a tone."""

    def read(path: Path) -> object:
        folder = path.with_name("bundle")
        if not folder.exists():
            make_bundle(folder)
        good = (folder / name).read_bytes()
        try:
            (folder / name).write_bytes(path.read_bytes())
            return load(folder).predict(tone(200, 0.5), RATE)
        except SercliError as problem:
            raise SercliError(f"{path.name}: {problem}") from problem
        finally:
            (folder / name).write_bytes(good)

    return read


def _graphs() -> list[bytes]:
    folders = [make_bundle(Path(mkdtemp()), rates=rates) for rates in (False, True)]
    return [(folder / "model.onnx").read_bytes() for folder in folders]


def _manifests() -> list[bytes]:
    return [(ROOT / "zoo" / "manifest.yaml").read_bytes()]


def _recipes() -> list[bytes]:
    return [path.read_bytes() for path in sorted((ROOT / "zoo" / "recipes").glob("*.yaml"))]


def _rows() -> list[dict[str, Any]]:
    numbers = {"start": 0.5, "end": 2, "arousal": 3, "valence": None, "dominance": 1e-3}
    row: dict[str, Any] = dict.fromkeys(COLUMNS, "x") | numbers
    return [row | {"gender": "f", "weight": 1, "votes": '{"angry": 2}'}, {"path": "a.wav", "emotion": "sad"}]


def _json_tables() -> list[bytes]:
    emobox: dict[str, Any] = {
        "key": "k",
        "dataset": "d",
        "wav": "downloads/a.wav",
        "type": "raw",
        "emo": "Sad",
        "task": "category",
    }
    tables = [_rows(), [emobox, emobox | {"start_time": 0.5, "end_time": 1, "speaker": "s"}]]
    return ["".join(json.dumps(row) + "\n" for row in table).encode() for table in tables]


def _csv_tables() -> list[bytes]:
    ours = ",".join(COLUMNS) + '\na.wav,0.5,,ravdess,01,f,s,"one, two",sad,,,,1,\nb.wav,,,,,,,,,,,,,\n'
    segmented = "file,start,end,emotion,gender\na.wav,0 days 00:00:01.500000,0:00:02,anger,female\nb.wav,,NaT,,\n"
    return [ours.encode(), segmented.encode()]


TARGETS: dict[str, Target] = {
    "audio": Target(_sounds, _label, ".wav"),
    "csv": Target(_csv_tables, read_table, ".csv", WORDS),
    "jsonl": Target(_json_tables, read_table, ".jsonl", WORDS),
    "config": Target(lambda: [json.dumps(config()).encode()], _in_bundle("config.json"), ".json", WORDS),
    "graph": Target(_graphs, _in_bundle("model.onnx"), ".onnx"),
    "manifest": Target(_manifests, manifest.read, ".yaml", WORDS),
    "recipe": Target(_recipes, load_recipe, ".yaml", WORDS),
}
"""Name to target."""
