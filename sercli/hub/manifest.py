"""The zoo's manifest: name to entry, read and written with every value checked.

`manifest.yaml` is written by `sercli zoo bundle` and `sercli zoo publish` alone; `manifest.schema.json` says the same
as the checks here, for everybody else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sercli.errors import ManifestError, OutputError, RecipeError, UsageError, first_line
from sercli.fields import from_dict
from sercli.hub.bundled import digests_by_student, manifest_file
from sercli.hub.entry import LARGEST_FILE, Entry, File, plain
from sercli.hub.reference import parse
from sercli.parsing import parse_yaml
from sercli.runtime.bundle import BUNDLE_FILES, CONFIG_FILE, SAMPLE_RATE

FORMAT = 1
HEADER = (
    "# The students of the zoo. Written by `sercli zoo bundle` and `sercli zoo publish`: not to be edited by hand.\n"
    "# A student is run only if its files have these hashes.\n"
)
YAML_STYLE: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": 120}
NAME = re.compile(r"[a-z][a-z0-9]*(?:[._-][a-z0-9]+)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"\d+(\.\d+)*")


def packaged() -> dict[str, Entry]:
    """Read the manifest that came with the package.

    Raises:
        ManifestError: it is missing, or as in `read`
    """
    path = manifest_file()
    if path is None:
        raise ManifestError("the zoo's manifest is missing from the package; install sercli again")
    return read(path)


def read(path: Path) -> dict[str, Entry]:
    """Read and check a manifest; name to entry.

    Raises:
        ManifestError: cannot be read, an unknown or missing key, or a bad value; names it
    """
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise ManifestError(f"{path}: cannot be read ({first_line(problem)}); install sercli again") from problem
    return checked(values, str(path))


def checked(values: Any, where: str) -> dict[str, Entry]:
    """Build the entries from plain values; `where` opens the messages.

    Raises:
        ManifestError: as in `read`
    """
    if not isinstance(values, Mapping) or set(values) != {"format", "students"}:
        raise ManifestError(f"{where}: must have the keys format and students alone")
    if values["format"] != FORMAT:
        raise ManifestError(
            f"{where}: format must be {FORMAT} for this sercli, not {values['format']!r}; update sercli"
        )
    if not isinstance(values["students"], Mapping):
        raise ManifestError(f"{where}: students must map names to entries")
    return {name: _entry(name, entry, where) for name, entry in values["students"].items()}


def dump(entries: Mapping[str, Entry]) -> str:
    """Write entries as the text of a manifest, names sorted.

    Raises:
        ManifestError: an entry that `read` would refuse
    """
    import yaml

    students = {name: plain(entries[name]) for name in sorted(entries)}
    checked({"format": FORMAT, "students": students}, "manifest")
    text: str = yaml.safe_dump({"format": FORMAT, "students": students}, **YAML_STYLE)
    known = {name: {file: facts.sha256 for file, facts in entry.files.items()} for name, entry in entries.items()}
    assert digests_by_student(text) == known, "the manifest's layout is not the one that bundled.py reads"
    return HEADER + text


def as_yaml(entries: Mapping[str, Entry]) -> str:
    """Show entries as they would stand in a manifest."""
    import yaml

    shown = {name: plain(entry) for name, entry in entries.items()}
    text: str = yaml.safe_dump({"students": shown}, **YAML_STYLE)
    return text.rstrip()


def write(path: Path, entries: Mapping[str, Entry]) -> None:
    """Write a manifest, all of it or nothing.

    Raises:
        ManifestError: as `dump`
        OutputError: cannot be written
    """
    text, partial = dump(entries), path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as problem:
        raise OutputError(f"{path}: cannot be written ({problem.strerror}); check its rights") from problem
    finally:
        partial.unlink(missing_ok=True)


def runs_here(name: str, entry: Entry) -> None:
    """Refuse a student that is newer than this sercli.

    Raises:
        UsageError: it is
    """
    from sercli import __version__

    def numbers(version: str) -> tuple[int, ...]:
        return tuple(map(int, re.findall(r"\d+", version)[:3]))

    if numbers(entry.minimum_sercli) > numbers(__version__):
        raise UsageError(f"{name} needs sercli {entry.minimum_sercli} or newer, this is {__version__}; update sercli")


def _entry(name: Any, values: Any, where: str) -> Entry:
    place = f"students.{name}."
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ManifestError(f"{where}: {name!r} is no name of a student; use lower-case letters, digits, . _ and -")
    if not isinstance(values, Mapping) or not isinstance(values.get("files"), Mapping):
        raise ManifestError(f"{where}: {place}files must map file names to size and sha256")
    try:
        files = {file: _file(file, facts, f"{place}files.{file}.") for file, facts in values["files"].items()}
        entry = from_dict(Entry, {"speed": None, **values, "files": files}, place, "key")
    except RecipeError as problem:
        raise ManifestError(f"{where}: {problem}") from problem
    except TypeError as problem:  # of a dataclass that lacks a value
        missing = str(problem).partition("missing ")[2] or str(problem)
        raise ManifestError(f"{where}: {place.rstrip('.')}: missing {missing}") from problem
    for fault in _faults(entry):
        raise ManifestError(f"{where}: {place}{fault}")
    return entry


def _file(name: Any, values: Any, place: str) -> File:
    if name not in BUNDLE_FILES:  # also what keeps a path that leaves the folder out
        raise RecipeError(f"{place.rstrip('.')}: no file of a bundle; those are {', '.join(BUNDLE_FILES)}")
    if not isinstance(values, Mapping):
        raise RecipeError(f"{place.rstrip('.')}: needs size and sha256")
    return from_dict(File, values, place, "key")


def _faults(entry: Entry) -> list[str]:
    """Say what the types do not."""
    texts = (*entry.labels, *entry.languages, *entry.corpora, entry.architecture, *asdict(entry.licence).values())
    tests = [
        (entry.sample_rate == SAMPLE_RATE, f"sample_rate must be {SAMPLE_RATE}"),
        (entry.parameters > 0, "parameters must be positive"),
        (len(set(entry.labels)) == len(entry.labels) > 1, "labels must be two or more, all different"),
        (all(texts), "texts must not be empty"),
        (entry.where.bundled or bool(entry.where.hub), "where must say bundled or have a place on the Hub"),
        (
            not entry.where.hub or _pinned(entry.where.hub),
            "where.hub must be hf:OWNER/REPO@COMMIT, all 40 digits of it",
        ),
        (all(len(figure.interval) in (0, 2) for figure in entry.metrics), "metrics: an interval has low and high"),
        (_VERSION.fullmatch(entry.minimum_sercli) is not None, "minimum_sercli must be a version such as 0.1.0"),
        ({CONFIG_FILE, "model.onnx"} <= set(entry.files), f"files must have {CONFIG_FILE} and model.onnx"),
        (
            all(0 < file.size <= LARGEST_FILE for file in entry.files.values()),
            f"files: size must be 1 to {LARGEST_FILE} bytes",
        ),
        (all(_SHA256.fullmatch(file.sha256) for file in entry.files.values()), "files: sha256 must be 64 hex digits"),
    ]
    return [fault for fulfilled, fault in tests if not fulfilled]


def _pinned(hub: str) -> bool:
    try:
        return parse(hub).pinned
    except UsageError:
        return False
