"""Bring a student from the Hub into the Hugging Face cache, and let nothing in that is not what was published."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from sercli.errors import BundleError, HubError
from sercli.hub import cache, digest, manifest
from sercli.hub.entry import LARGEST_FILE, Entry
from sercli.hub.facts import licence_notice
from sercli.hub.find import Found
from sercli.hub.reference import HubReference, parse
from sercli.hub.trouble import ASKED_OFFLINE, hub_trouble, not_cached
from sercli.runtime.bundle import BUNDLE_FILES, CONFIG_FILE

logger = logging.getLogger(__name__)

PICKLES = (".bin", ".ckpt", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth")
"""Endings of files that may hold Python pickles, which run code when they are loaded."""


@dataclass(frozen=True)
class Remote:
    """What a file on the Hub must be."""

    size: int
    """bytes"""
    digest: str
    """see `digest.matches`"""


def obtain(reference: HubReference, *, offline: bool = False) -> Found:
    """Find a student of any repository, in the cache if it is there, else on the Hub.

    A revision that moves is resolved to its commit now, which is logged; a cached commit needs no network.

    Raises:
        ModelNotFoundError: no such repository or revision
        HubError: the Hub cannot be reached or refuses
        BundleError: no bundle, or files that are not what the Hub says
        OutputError: the cache cannot be written
    """
    pinned = _resolve(reference, offline)
    folder = cache.cached(pinned)
    absent = folder is None
    if folder is None:
        _go_online(pinned, offline)
        folder = _download(pinned, listed(pinned))
        with suppress(HubError), hub_trouble(pinned):  # so that the cache knows which files the repository lacks
            _note_absent(pinned, folder)
    return _announced(str(reference), Found(folder, cache.digests(folder), fresh=absent))


def obtain_student(name: str, *, offline: bool = False) -> Found:
    """Find a student that the packaged manifest has on the Hub: pinned there, and hashed here.

    Raises:
        ManifestError, UsageError: the manifest cannot be read, or the student needs a newer sercli
        ModelNotFoundError, HubError, BundleError, OutputError: as in `obtain`
    """
    entry = manifest.packaged()[name]
    manifest.runs_here(name, entry)
    reference, hashes = parse(entry.where.hub), {file: facts.sha256 for file, facts in entry.files.items()}
    folder = cache.cached(reference, entry.files)
    absent = folder is None
    if folder is None:
        _go_online(reference, offline)
        folder = _download(reference, _expected(entry))
    return _announced(name, Found(folder, hashes, fresh=absent))


def pull(model: str, *, offline: bool = False) -> Path:
    """Make sure that a student of the zoo, or of any repository, is here and whole: every file is hashed again.

    Args:
        model: name of the zoo, or `hf:owner/repo@revision`
        offline: use what is cached, or fail

    Returns:
        its folder

    Raises:
        as `find` does
    """
    from sercli.hub.find import find

    found = find(model, offline=offline)
    if broken := found.altered():
        if found.folder.parent.name != "snapshots":
            raise BundleError(f"{found.folder}: {', '.join(broken)} not as published; install sercli again")
        for name in broken:
            cache.discard(found.folder / name)
        logger.warning("%s: %s not as published; pulled again", model, ", ".join(broken))
        found = find(model, offline=offline)
    if not found.fresh:
        _say_licence(model, found)
    return found.folder


def _announced(model: str, found: Found) -> Found:
    """Say once, when a student comes from the Hub, what its licence keeps a user from."""
    if found.fresh:
        _say_licence(model, found)
    return found


def _say_licence(model: str, found: Found) -> None:
    entry = manifest.packaged().get(model)
    if told := licence_notice(entry.licence.weights if entry else _card_licence(found.folder)):
        logger.warning("%s: %s", model, told)


def _resolve(reference: HubReference, offline: bool) -> HubReference:
    """Find the commit that a tag or branch names now, or named when it was last asked for."""
    if reference.pinned:
        return reference
    from huggingface_hub import HfApi

    with hub_trouble(reference):
        found = HfApi().resolve_revision(reference.repository, revision=reference.revision, local_files_only=offline)
    pinned = reference.at(found.resolved)
    logger.info("%s is %s", reference, pinned)
    return pinned


def _go_online(reference: HubReference, offline: bool) -> None:
    if offline:
        raise not_cached(reference, ASKED_OFFLINE)


def _expected(entry: Entry) -> dict[str, Remote]:
    return {name: Remote(file.size, file.sha256) for name, file in entry.files.items()}


def listed(reference: HubReference) -> dict[str, Remote]:
    """List the files of a bundle in a repository, and say what else there is that will not be used.

    Raises:
        ModelNotFoundError, HubError: as in `obtain`
        BundleError: a file is too large, a path leaves the folder, or it is no bundle
    """
    files = files_at(reference)
    for path in files:
        if _leaves(path):
            raise BundleError(f"{reference}: lists {path!r}, which leaves its folder; do not use this repository")
    if pickles := sorted(path for path in files if path.lower().endswith(PICKLES)):
        logger.warning("%s: ignored %s: sercli never loads pickles", reference, _shortened(pickles))
    wanted = {name: files[name] for name in BUNDLE_FILES if name in files}
    for name in cache.REQUIRED:
        if name not in wanted:
            raise BundleError(f"{reference}: not a student bundle, it has no {name}; `sercli export` makes one")
    for name, file in wanted.items():
        if file.size > LARGEST_FILE:
            raise BundleError(
                f"{reference}: {name} has {file.size / 1e6:.0f} MB, but a student's files have "
                f"{LARGEST_FILE / 1e6:.0f} MB at most; name another repository"
            )
    return wanted


def files_at(reference: HubReference) -> dict[str, Remote]:
    """List all files of a repository, path to what is known of it.

    Raises:
        ModelNotFoundError, HubError: as in `obtain`
    """
    from huggingface_hub import HfApi, RepoFile

    with hub_trouble(reference):
        tree = list(HfApi().list_repo_tree(reference.repository, revision=reference.revision, recursive=True))
    files = [item for item in tree if isinstance(item, RepoFile)]
    return {file.path: Remote(file.size, file.lfs.sha256 if file.lfs else file.blob_id) for file in files}


def _download(reference: HubReference, files: Mapping[str, Remote]) -> Path:
    """Fetch the files that the cache lacks and hash all of them; a wrong one is removed.

    config.json comes last, so that a folder that has it is whole.
    """
    from huggingface_hub import hf_hub_download

    path = Path()
    for name in sorted(files, key=lambda name: name == CONFIG_FILE):
        with hub_trouble(reference):
            path = Path(hf_hub_download(reference.repository, name, revision=reference.revision))
        content = path.read_bytes()
        if not digest.matches(content, files[name].digest):
            cache.discard(path)
            raise BundleError(
                f"{reference}: {name} is not the file that was published ({len(content)} bytes instead of "
                f"{files[name].size}, or other content); it was removed. Pull again; if it stays so, tell the owner"
            )
    return path.parent


def _note_absent(reference: HubReference, folder: Path) -> None:
    """Ask once for each file of a bundle that the repository lacks, so that nobody needs to ask again."""
    from huggingface_hub import errors, hf_hub_download

    for name in BUNDLE_FILES:
        if not (folder / name).is_file():
            with suppress(errors.EntryNotFoundError):
                hf_hub_download(reference.repository, name, revision=reference.revision)


def _leaves(path: str) -> bool:
    parts = {*PurePosixPath(path).parts, *PureWindowsPath(path).parts}
    return ".." in parts or path.startswith(("/", "\\")) or PureWindowsPath(path).drive != ""


def _card_licence(folder: Path) -> str:
    from huggingface_hub.repocard import metadata_load
    from yaml import YAMLError

    try:
        return str((metadata_load(folder / "README.md") or {}).get("license") or "")
    except (OSError, ValueError, YAMLError):
        return ""  # no card, or one that cannot be read: it says nothing


def _shortened(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
