"""Which students of the zoo are on this machine, bundled or cached; never asks the network."""

from __future__ import annotations

from dataclasses import dataclass

from sercli.errors import HubError, ModelNotFoundError, UsageError
from sercli.hub import cache, manifest
from sercli.hub.bundled import students
from sercli.hub.entry import Entry
from sercli.hub.find import Found, find
from sercli.hub.reference import PREFIX, parse
from sercli.nearest import nearest

FREE_LICENCES = ("CC0", "CC BY 4.0", "CC BY-SA 4.0")
"""Weights under these may be used for everything, trade included."""


@dataclass(frozen=True)
class Holding:
    """A student of the zoo and what is here of it."""

    name: str
    entry: Entry
    found: Found | None
    """None: on the Hub only"""

    @property
    def place(self) -> str:
        """`bundled`, `cached`, or `hub`."""
        if self.found is None:
            return "hub"
        return "bundled" if self.name in students() else "cached"


def holdings(open_only: bool = False) -> list[Holding]:
    """List the students of the packaged manifest.

    Args:
        open_only: leave out those whose weights are not under an open licence
    """
    entries = manifest.packaged().items()
    return [
        Holding(name, entry, local(name, entry))
        for name, entry in entries
        if not open_only or entry.licence.weights in FREE_LICENCES
    ]


def local(name: str, entry: Entry) -> Found | None:
    """Find a student of the zoo on this machine."""
    hashes = {file: facts.sha256 for file, facts in entry.files.items()}
    if (folder := students().get(name)) is not None:
        return Found(folder, hashes)
    if not entry.where.hub:
        return None
    folder = cache.cached(parse(entry.where.hub), entry.files)
    return None if folder is None else Found(folder, hashes)


def remove(model: str) -> int:
    """Delete a cached student, of `hf:owner/repo` without a revision every cached one; returns the bytes freed.

    Raises:
        UsageError: it came with the package, or is a folder
        ModelNotFoundError: it is not cached
    """
    if model.startswith(PREFIX):
        return cache.remove(parse(model), every_revision="@" not in model)
    if model in students():
        raise UsageError(f"{model} came with sercli and goes with it; `sercli zoo remove` is for what was pulled")
    entry = manifest.packaged().get(model)
    if entry is None:
        near = nearest(model, manifest.packaged())
        raise UsageError(f"{model!r} is no student of the zoo{near}; name one, or hf:OWNER/REPO@REVISION")
    try:
        return cache.remove(parse(entry.where.hub))
    except ModelNotFoundError:
        raise ModelNotFoundError(f"{model}: not in the cache") from None


def verified(models: tuple[str, ...]) -> list[tuple[str, Found | None, list[str]]]:
    """Hash what is here of some models, or of all students of the zoo.

    Returns:
        for each: its name, what is here of it, and the files that are not as published

    Raises:
        ModelNotFoundError: a model that does not exist
    """
    if not models:
        chosen = [(holding.name, holding.found) for holding in holdings()]
    else:
        chosen = [(model, _here_or_none(model)) for model in models]
    return [(name, found, found.altered() if found else []) for name, found in chosen]


def _here_or_none(model: str) -> Found | None:
    try:
        return find(model, offline=True)
    except HubError:
        return None
