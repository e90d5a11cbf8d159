"""The students that come with the package, found by name without network and without YAML.

A checkout has them in `zoo/students/NAME`, an installed wheel in `sercli/hub/bundled/students/NAME`, with the manifest
beside them. Labelling and TAB need only its names and hashes, and importing YAML would cost them more than everything
else they do here; so these are read line by line, in the layout that `manifest.dump` writes and checks.
"""

from __future__ import annotations

import re
from pathlib import Path

DEFAULT_MODEL = "micro"

_PACKAGE = Path(__file__).resolve().parent
_HOMES = (_PACKAGE / "bundled" / "students", _PACKAGE.parent.parent / "zoo" / "students")
_STUDENT = re.compile(r"^  (\S+):\n((?:    .*\n)*)", re.MULTILINE)
_FILE = re.compile(r"^      (\S+):\n        size: \d+\n        sha256: ([0-9a-f]{64})$", re.MULTILINE)


def students() -> dict[str, Path]:
    """Map the name of each bundled student to its folder, names sorted."""
    found: dict[str, Path] = {}
    for home in _HOMES:
        if home.is_dir():
            for folder in home.iterdir():
                if (folder / "config.json").is_file():
                    found.setdefault(folder.name, folder)
    return dict(sorted(found.items()))


def manifest_file() -> Path | None:
    """Find the packaged manifest; None where the package has lost it."""
    return next((path for home in _HOMES if (path := home.with_name("manifest.yaml")).is_file()), None)


def names() -> tuple[str, ...]:
    """Name the students of the packaged manifest, bundled or on the Hub."""
    return tuple(digests_by_student(_manifest_text()))


def digests(name: str) -> dict[str, str]:
    """Map a student's files to the sha256 that the packaged manifest gives them."""
    return digests_by_student(_manifest_text())[name]


def digests_by_student(manifest: str) -> dict[str, dict[str, str]]:
    """Read names and hashes off a manifest's lines: student to file name to sha256."""
    return {name: dict(_FILE.findall(block)) for name, block in _STUDENT.findall(manifest)}


def _manifest_text() -> str:
    path = manifest_file()
    return "" if path is None else path.read_text(encoding="utf-8")
