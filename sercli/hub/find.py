"""Find the bundle of a model however it is named, and the hashes its files must have."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sercli.errors import BundleError, ModelNotFoundError
from sercli.hub import digest
from sercli.hub.bundled import digests, names, students
from sercli.hub.reference import PREFIX, parse
from sercli.nearest import nearest

AGAIN = "pull it again (`sercli zoo pull`), or install sercli again if it came with it"


@dataclass(frozen=True)
class Found:
    """A bundle's folder, and what is known of its files."""

    folder: Path
    digests: Mapping[str, str] = field(default_factory=dict)
    """file name to its digest (see `digest.matches`), by the manifest or the Hub; empty for a folder of one's own"""
    fresh: bool = False
    """came from the Hub just now"""

    def check(self, file: str, content: bytes) -> None:
        """Refuse a file's content if it is not the one the manifest, or the Hub, has for it.

        Raises:
            BundleError: it is another
        """
        expected = self.digests.get(file)
        if expected is not None and not digest.matches(content, expected):
            raise BundleError(f"{self.folder / file}: not the file that was published; {AGAIN}")

    def altered(self) -> list[str]:
        """Name the files that are missing, or not what was published."""
        return [name for name, expected in self.digests.items() if not _is(self.folder / name, expected)]

    def verify(self) -> None:
        """Hash every file.

        Raises:
            BundleError: one is missing or another
        """
        if broken := self.altered():
            raise BundleError(f"{self.folder}: {', '.join(broken)} not as published; {AGAIN}")


def find(model: str | os.PathLike[str], *, offline: bool = False) -> Found:
    """Find the bundle of a model; what lies on the Hub comes from the Hub's cache, or is pulled.

    Args:
        model: name of a student of the zoo, `hf:owner/repo` with or without `@revision`, or a folder; what contains a
            separator is never a name
        offline: use what is cached, or fail

    Raises:
        ModelNotFoundError: there is none, with the nearest name and all names
        BundleError: what is on the Hub is not what the manifest says, or no bundle
        HubError: the Hub cannot be reached or refuses
    """
    text = os.fspath(model)
    if isinstance(model, str) and text.startswith(PREFIX):
        from sercli.hub.pull import obtain

        return obtain(parse(text), offline=offline)
    known, folders = names(), students()
    if text in known:
        if text in folders:
            return Found(folders[text], digests(text))
        from sercli.hub.pull import obtain_student

        return obtain_student(text, offline=offline)
    if text in folders:
        raise BundleError(f"{folders[text]}: not in the manifest; enter it with `sercli zoo bundle`")
    folder = Path(text)
    if folder.is_dir():
        return Found(folder)
    listed = ", ".join(known) or "none are installed"
    if not isinstance(model, str) or os.sep in text:
        raise ModelNotFoundError(
            f"no student folder {text!r}; give its path, hf:OWNER/REPO, or a student of the zoo: {listed}"
        )
    hint = nearest(text, known)
    raise ModelNotFoundError(f"no student named {text!r}{hint}; the zoo has {listed}; or give a folder, hf:OWNER/REPO")


def _is(path: Path, expected: str) -> bool:
    try:
        return digest.matches(path.read_bytes(), expected)
    except OSError:
        return False
