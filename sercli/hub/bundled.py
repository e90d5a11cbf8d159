"""The students that come with the package, found by name without network, manifest or YAML.

A checkout has them in `zoo/students/NAME`, an installed wheel in `sercli/hub/bundled/students/NAME`.
"""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path

from sercli.errors import ModelNotFoundError

DEFAULT_MODEL = "micro"

_PACKAGE = Path(__file__).resolve().parent
_HOMES = (_PACKAGE / "bundled" / "students", _PACKAGE.parent.parent / "zoo" / "students")


def students() -> dict[str, Path]:
    """Map the name of each bundled student to its folder, names sorted."""
    found: dict[str, Path] = {}
    for home in _HOMES:
        if home.is_dir():
            for folder in home.iterdir():
                if (folder / "config.json").is_file():
                    found.setdefault(folder.name, folder)
    return dict(sorted(found.items()))


def resolve(model: str | os.PathLike[str]) -> Path:
    """Find the bundle folder of a model.

    Args:
        model: name of a bundled student, or a folder; what contains a separator is always a folder

    Raises:
        ModelNotFoundError: neither, with the nearest name and all names
    """
    text = os.fspath(model)
    known = students()
    if text in known:
        return known[text]
    folder = Path(text)
    if folder.is_dir():
        return folder
    names = ", ".join(known) or "none are installed"
    if not isinstance(model, str) or os.sep in text:
        raise ModelNotFoundError(f"no student folder {text!r}; give its path, or one of the bundled students: {names}")
    near = get_close_matches(text, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ModelNotFoundError(f"no student named {text!r}{hint} (bundled students: {names}; or give a folder)")
